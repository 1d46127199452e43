"""Order and affine of a stack of slices (PS3.3 C.7.6.2), which must be parallel, complete and evenly spaced."""

from __future__ import annotations

import numpy as np

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.errors import DicomError
from wslpet.core.volume import SPACING_RANGE_MM
from wslpet.io.dicom.files import apart
from wslpet.io.dicom.headers import RESEND, Header, Limits

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
POSITION_MM: Limits = (-1e4, 1e4)
# Tolerance of direction cosines (unit length, perpendicular, same in all slices): header rounding.
COSINE_TOLERANCE = 1e-3
# Tolerance of slice positions in an evenly spaced stack, as a share of the spacing: rounding, bed overlaps.
PLACE_TOLERANCE = 0.1


def stack(slices: list[Header], name: str) -> tuple[Array, Array]:
    """Sort slices along their normal.

    Returns
    -------
    indices of the slices in order, and the affine (4, 4): (column, row, slice) → mm RAS.

    Raises
    ------
    DicomError
        if the slices are not parallel, complete and evenly spaced.
    """
    across, down = _cosines(slices)
    normal = np.cross(across, down)
    between_rows, between_columns = _pixel_spacing(slices)
    positions = np.array([header.numbers("ImagePositionPatient", 3, POSITION_MM, RESEND) for header in slices])
    order = np.argsort(positions @ normal, kind="stable")
    step = _even_step([slices[k] for k in order], positions[order], normal, name)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([across * between_columns, down * between_rows, normal * step])
    affine[:3, 3] = positions[order[0]]
    return order, LPS_TO_RAS @ affine


def _cosines(slices: list[Header]) -> tuple[Array, Array]:
    cosines = np.array([header.numbers("ImageOrientationPatient", 6, (-1.001, 1.001), RESEND) for header in slices])
    other = np.abs(cosines - cosines[0]).max(axis=1) > COSINE_TOLERANCE
    if other.any():
        header = slices[int(np.argmax(other))]
        raise header.refusal("ImageOrientationPatient", f"not that of {slices[0].file}", "give one series")
    across, down = cosines[0].reshape(2, 3)
    lengths = np.linalg.norm([across, down], axis=1)
    if np.abs(lengths - 1).max() > COSINE_TOLERANCE or abs(across @ down) > COSINE_TOLERANCE:
        raise slices[0].refusal("ImageOrientationPatient", "not two perpendicular unit vectors", RESEND)
    return across / lengths[0], down / lengths[1]


def _pixel_spacing(slices: list[Header]) -> tuple[float, float]:
    spacings = [header.numbers("PixelSpacing", 2, SPACING_RANGE_MM, RESEND) for header in slices]
    for header, spacing in zip(slices, spacings, strict=True):
        if not np.allclose(spacing, spacings[0], rtol=COSINE_TOLERANCE):
            raise header.refusal("PixelSpacing", f"not that of {slices[0].file}", "give one series")
    return spacings[0][0], spacings[0][1]


def _even_step(slices: list[Header], positions: FloatArray, normal: FloatArray, name: str) -> float:
    """Distance between sorted slices, mm; refuses duplicate positions, gaps and sheared stacks."""
    along = positions @ normal
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    least = max(usual * PLACE_TOLERANCE, 1e-3)
    if gaps.min() < least:
        k = int(np.argmin(gaps))
        one, two = apart(slices[k], slices[k + 1])
        raise DicomError(
            f"series {name}: {one} and {two} lie in one place ({along[k]:.2f} mm along the normal); remove the copy, "
            "or give one static series"
        )
    if not SPACING_RANGE_MM[0] <= usual <= SPACING_RANGE_MM[1]:
        raise DicomError(f"series {name}: slices every {usual:g} mm; {RESEND}")
    k = int(np.argmax(gaps))
    if gaps[k] > 1.5 * usual:
        missing = round(gaps[k] / usual) - 1
        raise DicomError(
            f"series {name}: {missing} missing between {slices[k].file} and {slices[k + 1].file} "
            f"({gaps[k]:.2f} mm apart, others {usual:.2f}); {RESEND}"
        )
    step = float(along[-1] - along[0]) / len(gaps)
    places = positions[0] + np.arange(len(positions))[:, None] * step * normal
    off = np.linalg.norm(positions - places, axis=1)
    if off.max() > PLACE_TOLERANCE * step:
        worst = slices[int(np.argmax(off))].file
        raise DicomError(
            f"series {name}: slices are unevenly spaced or lean: {worst} lies {off.max():.2f} mm from its place at "
            f"{step:.2f} mm a slice; resample the series to even slices"
        )
    return step
