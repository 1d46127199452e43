"""Measures of each lesion of a scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from wslpet.analysis.burden.body import NOTHING_KNOWN, Body
from wslpet.analysis.uptake import measure, surroundings
from wslpet.core.errors import GeometryError, InputError
from wslpet.core.volume import Volume

# Method of a contour that a person drew.
DRAWN = "label"
Point = tuple[float, float, float]
# Margin of the crop around a lesion, larger than the radius of the SUVpeak sphere.
MARGIN_MM = 10.0


@dataclass(frozen=True)
class Origin:
    """Origin of a lesion's contour.

    Parameters
    ----------
    cancer_type : name of the cancer type.
    method : method of the contour: "ours", "41 %", "SUV 2.5", …; `DRAWN` for a submitted mask.
    step : number of contours by which it is larger (positive) or smaller (negative) than the method's own.
    source : "annotation" (a person clicked or drew it) or "model" (the network found it).
    user : name of the person; "" for the network.
    time : time of the annotation, ISO 8601 in UTC.
    """

    cancer_type: str
    method: str = ""
    step: int = 0
    source: str = "annotation"
    user: str = ""
    time: str = ""


@dataclass(frozen=True)
class LesionMeasures:
    """One lesion of a scan.

    Parameters
    ----------
    number : its value in the label volume.
    origin : where its contour comes from.
    position : mean position of its voxels, mm RAS.
    index : the same as fractional voxel of the volume as stored.
    voxels : number of its voxels.
    volume_ml, suv_max, suv_peak, suv_mean, tlg : see `wslpet.analysis.uptake.measure`; SUV by body weight (SUVbw).
    sul_max, sul_peak, sul_mean, tlg_sul : the same by lean body mass (Janmahasatian); None where it is not known.
    """

    number: int
    origin: Origin
    position: Point
    index: Point
    voxels: int
    volume_ml: float
    suv_max: float
    suv_peak: float
    suv_mean: float
    tlg: float
    sul_max: float | None = None
    sul_peak: float | None = None
    sul_mean: float | None = None
    tlg_sul: float | None = None


def measure_lesions(
    volume: Volume, labels: Volume, origins: Mapping[int, Origin], body: Body = NOTHING_KNOWN
) -> tuple[LesionMeasures, ...]:
    """Measure every lesion of a label volume.

    Parameters
    ----------
    volume : (i, j, k) in SUVbw.
    labels : (i, j, k) on the same grid, 0 background, 1 … n the lesions.
    origins : number of a lesion → where its contour comes from.
    body : of the patient, for SUL.

    Returns
    -------
    the lesions, by number. A number of `origins` without a voxel, as of a lesion that another covers, is left out.

    Raises
    ------
    GeometryError
        when the grids differ.
    InputError
        when a label has no origin.
    """
    if labels.shape != volume.shape or not np.allclose(labels.affine, volume.affine, atol=1e-3):
        raise GeometryError(
            f"{labels.name}: labels of shape {labels.shape} are not on the grid of {volume.name}, {volume.shape}; "
            "resample them to the scan"
        )
    windows = ndimage.find_objects(labels.array)
    found = {number: window for number, window in enumerate(windows, start=1) if window is not None}
    if strange := sorted(set(found) - set(origins)):
        raise InputError(
            f"{labels.name}: label value {strange[0]} is none of the lesions {sorted(origins)}; name its cancer type"
        )
    return tuple(_measured(volume, labels, n, found[n], origins[n], body) for n in sorted(found))


def _measured(
    volume: Volume, labels: Volume, number: int, window: tuple[slice, ...], origin: Origin, body: Body
) -> LesionMeasures:
    margins = [int(np.ceil(MARGIN_MM / spacing)) + 1 for spacing in volume.spacing]
    grown = tuple(
        slice(max(0, w.start - margin), min(n, w.stop + margin))
        for w, n, margin in zip(window, volume.shape, margins, strict=True)
    )
    part, inside = surroundings(volume.cropped(grown), labels.array[grown] == number)
    where = np.argwhere(inside)
    x, y, z = part.to_world(where.mean(axis=0)).tolist()
    i, j, k = volume.to_index(np.array((x, y, z))).tolist()
    values = measure(part, inside)
    lean = {}
    if (factor := body.sul_factor) is not None:
        lean = {f"sul_{name}": factor * values[f"suv_{name}"] for name in ("max", "peak", "mean")}
        lean["tlg_sul"] = factor * values["tlg"]
    return LesionMeasures(number, origin, (x, y, z), (i, j, k), len(where), **values, **lean)
