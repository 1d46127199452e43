"""A series with three lesions, one of them with a hole, and what is measured of them."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pydicom

from tests.helpers.blobs import affine_of, ellipsoid, positions, stored_as
from wslpet.core.volume import Volume
from wslpet.data.phantom.dicom import Examination, write_series
from wslpet.io.dicom.derived.lesions import ExportedLesion, SeriesLesions
from wslpet.io.dicom.series import read_series

MADE = datetime(2026, 11, 27, 10, 30, 15, tzinfo=timezone.utc)
# Numbers need not be 1 … n: a lesion may have been deleted.
CENTRES = {1: (31.0, -22.0, 14.0), 2: (-14.0, 25.0, 41.0), 5: (12.0, 3.0, -8.0)}
BURDEN = {"lesions": 3, "mtv_ml": 12.5, "tlg": 100.25, "suv_max": 9.0, "dmax_mm": 71.25, "spread_mm": 130.5}


def grid(permutation=(0, 1, 2), flips=(True, True, False), tilt=0.0) -> Volume:
    volume = Volume(np.zeros((24, 30, 18), np.float32), affine_of((4.1, 3.6, 5.2), (-40.3, -51.7, -30.9), tilt))
    return stored_as(volume, permutation, flips)


def lesions_in(volume: Volume) -> np.ndarray:
    """Label values: a ball, a ring (a shell that is open along z) and two voxels that touch at a corner."""
    labels = np.zeros(volume.shape, np.uint8)
    labels[ellipsoid(volume, CENTRES[1], (9.0, 11.0, 13.0))] = 1
    from_axis = np.linalg.norm((positions(volume) - np.array(CENTRES[2]))[..., :2], axis=-1)
    tall = np.abs(positions(volume)[..., 2] - CENTRES[2][2]) < 8
    labels[tall & (from_axis > 5) & (from_axis < 13)] = 2
    i, j, k = np.rint(volume.to_index(np.array(CENTRES[5]))).astype(int)
    labels[i, j, k] = labels[i + 1, j + 1, k] = 5
    return labels


def exported(folder: Path, stored: Volume, stamp: str = "seed 1") -> SeriesLesions:
    labels = lesions_in(stored)
    write_series(stored.with_array(np.where(labels, 9.0, 1.0).astype(np.float32)), folder, "P1", Examination())
    series = read_series(folder)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in series.files]
    lesions = tuple(
        ExportedLesion(
            n,
            "lung",
            "MANUAL" if n == 5 else "SEMIAUTOMATIC",
            "41 %",
            "Ann",
            {"volume_ml": 1.5 * n, "suv_max": 7.91071, "suv_mean": 2.5, "tlg": 3.75 * n, "sul_max": 5.5},
        )
        for n in CENTRES
    )
    # The mask comes on the grid of the file, whose axes may lie otherwise than the series' own.
    mask = Volume(labels, stored.affine, "label", "P1")
    return SeriesLesions(mask, series.volume, headers, lesions, stamp, MADE, "2.0.0", BURDEN)


def in_order(points: np.ndarray) -> np.ndarray:
    return points[np.lexsort(points.round(2).T)]


def world(volume: Volume, inside: np.ndarray) -> np.ndarray:
    return in_order(volume.to_world(np.argwhere(inside)))
