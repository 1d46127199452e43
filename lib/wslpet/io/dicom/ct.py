"""Read a DICOM CT series in Hounsfield units (PS3.3 A.3), to be shown under a PET of the same study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.uid import CTImageStorage

from wslpet.core.arrays import Array
from wslpet.core.errors import DicomError
from wslpet.core.limits import MAX_VOXELS
from wslpet.core.volume import Volume
from wslpet.io.dicom.files import files_of, without_copies
from wslpet.io.dicom.geometry import stack
from wslpet.io.dicom.headers import RESEND, Header, Limits, read_dicom
from wslpet.io.dicom.pixels import padded, pixels

AIR_HU, DENSEST_HU = -1024, 3071
_SLOPE: Limits = (1e-6, 1e6)
_INTERCEPT: Limits = (-1e6, 1e6)
_TAGS = [
    *("SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "Rows", "Columns"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
]


def read_ct(source: Sequence[Path], voxel_mm: float = 0.0) -> Volume:
    """Read one CT series, (i, j, k) int16 in HU: column i, row j, and slice k along the normal.

    Parameters
    ----------
    source : files of the series.
    voxel_mm : in a slice, pixels are averaged in squares of at most this size; a CT of 0.98 mm under a PET of 4 mm
        then takes a sixteenth of the memory. 0: as stored.

    Raises
    ------
    DicomError
        if the files are not one complete CT series of parallel slices, or pixels are damaged.
    """
    files, name = files_of(source)
    slices, _ = without_copies([Header(read_dicom(path, _TAGS)) for path in files])
    _check(slices, name)
    order, affine = stack(slices, name)
    size = [slices[0].whole(tag, (2, 8192), "give the CT series as the scanner made it") for tag in ("Rows", "Columns")]
    spacing = np.linalg.norm(affine[:3, :2], axis=0).max()
    step = max(1, min(int(voxel_mm / spacing), *size))
    shape = (size[1] // step, size[0] // step, len(order))
    if np.prod(shape) > MAX_VOXELS:
        raise DicomError(f"CT {name}: {shape[0]} × {shape[1]} × {shape[2]} is over {MAX_VOXELS} voxels; crop it")
    values = np.empty(shape, np.int16, order="F")
    for k, index in enumerate(order):
        plane = _hounsfield(Header(read_dicom(slices[index].path)), size[0], size[1])
        squares = plane[: shape[1] * step, : shape[0] * step].reshape(shape[1], step, shape[0], step)
        values[:, :, k] = np.rint(squares.mean(axis=(1, 3))).T
    squares_in_slices = np.diag([step, step, 1.0, 1.0])
    squares_in_slices[:2, 3] = (step - 1) / 2
    return Volume(values, affine @ squares_in_slices, "HU", name)


def _check(slices: list[Header], name: str) -> None:
    first = slices[0]
    for header in slices:
        if header.text("SOPClassUID") != CTImageStorage or header.text("Modality") != "CT":
            raise header.refusal("SOPClassUID", "not a single-frame CT image", "give the CT series")
        for tag in ("SeriesInstanceUID", "FrameOfReferenceUID", "Rows", "Columns"):
            if header.text(tag) != first.text(tag):
                raise header.refusal(tag, f"not that of {first.file}", "give one series")
    if len(slices) < 2:
        raise DicomError(f"CT {name}: one slice ({first.file}) is no volume; {RESEND}")


def _hounsfield(header: Header, rows: int, columns: int) -> Array:
    """(row, column) float32 in HU, by the slice's rescale slope and intercept; air outside the field of view."""
    stored = pixels(header, rows, columns)
    slope, intercept = (
        header.number("RescaleSlope", _SLOPE, RESEND),
        header.number("RescaleIntercept", _INTERCEPT, RESEND),
    )
    plane: Array = (stored * slope + intercept).astype(np.float32)
    plane[padded(header, stored, plane)] = AIR_HU
    return np.clip(plane, AIR_HU, DENSEST_HU)
