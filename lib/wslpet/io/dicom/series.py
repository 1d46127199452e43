"""Read a DICOM PET series as an SUV volume; only complete static series of parallel slices are accepted.

Slices are sorted by their position along the normal (PS3.3 C.7.6.2), never by file name or instance number.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    EnhancedPETImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    PositronEmissionTomographyImageStorage,
)

from wslpet.core.arrays import Array
from wslpet.core.errors import DicomError
from wslpet.core.limits import MAX_SUV, MAX_VOXELS
from wslpet.core.volume import Volume
from wslpet.io.dicom.files import files_of, without_copies
from wslpet.io.dicom.geometry import stack
from wslpet.io.dicom.headers import RESEND, Header, Limits, read_dicom
from wslpet.io.dicom.pixels import padded, pixels
from wslpet.io.dicom.suv import Suv, suv_of

MULTI_FRAME = (EnhancedPETImageStorage, LegacyConvertedEnhancedPETImageStorage)
STATIC = ("STATIC", "WHOLE BODY", "WHOLEBODY")
SLOPE: Limits = (1e-12, 1e9)
INTERCEPT: Limits = (-1e9, 1e9)


@dataclass(frozen=True, eq=False)
class Series:
    """One PET series.

    Parameters
    ----------
    volume : (i, j, k) float32 SUVbw: column i, row j, and slice k along the normal, which is the cross product of the
        row and column cosines.
    suv : the SUV conversion, with one factor per slice along k.
    files : files of the slices, along k.
    header : header of the slice at k = 0, without pixels.
    notes : sentences on what was inferred or left out.
    """

    volume: Volume
    suv: Suv
    files: tuple[Path, ...]
    header: Dataset
    notes: tuple[str, ...] = ()


def read_series(source: str | os.PathLike[str] | Sequence[Path]) -> Series:
    """Read one static PET series in SUV, from its folder (and those below) or its files.

    Raises
    ------
    DicomError
        if the files are not one complete static PET series, a header value is missing or invalid, pixels are damaged,
        or SUV cannot be computed (`wslpet.io.dicom.suv.suv_of`).
    """
    files, name = files_of(source)
    slices, copies = without_copies([Header(read_dicom(path)) for path in files])
    files = [Path(header.path) for header in slices]
    _check_one_series(slices, name)
    for header in slices:
        _check_kind(header)
    _check_size(slices, name)
    order, affine = stack(slices, name)
    slices, files = [slices[k] for k in order], [files[k] for k in order]
    suv = suv_of([header.dataset for header in slices])
    volume = Volume(_values(slices, suv, name), affine, "SUV", name)
    first = slices[0].dataset
    return Series(volume, suv, tuple(files), first, (*copies, *suv.notes))


def _check_one_series(slices: list[Header], name: str) -> None:
    found: dict[str, Header] = {}
    for header in slices:
        found.setdefault(header.text("SeriesInstanceUID"), header)
    if "" in found:
        raise found[""].refusal("SeriesInstanceUID", "missing", RESEND)
    if len(found) > 1:
        kinds = ", ".join(
            f"{header.text('Modality') or '?'} {header.shown('SeriesDescription')} ({header.file})"
            for header in found.values()
        )
        raise DicomError(f"series {name}: {len(found)} series in one folder: {kinds[:300]}; give each its own folder")
    frames = {header.text("FrameOfReferenceUID"): header for header in slices}
    if len(frames) > 1:
        _, other = list(frames.values())[:2]
        raise other.refusal("FrameOfReferenceUID", "not that of the other slices", RESEND)


def _check_kind(header: Header) -> None:
    kind = UID(header.text("SOPClassUID"))
    if kind in MULTI_FRAME:
        raise header.refusal("SOPClassUID", f"{kind.name}: multi-frame", "export it as single-frame PET images")
    if kind != PositronEmissionTomographyImageStorage:
        what = f"{kind.name or 'no kind'}, not PET" if kind else "missing"
        raise header.refusal("SOPClassUID", what, "give the PET series")
    if header.text("Modality") != "PT":
        raise header.refusal("Modality", "not PT" if header.text("Modality") else "missing", "give the PET series")
    if header.text("NumberOfFrames") not in ("", "1"):
        raise header.refusal("NumberOfFrames", "multi-frame", "export it as single-frame PET images")
    series_type = header.texts("SeriesType")
    if series_type and series_type[0] not in STATIC:
        raise header.refusal("SeriesType", "not static", "give one static series, not a dynamic or gated one")
    if len(series_type) > 1 and series_type[1] != "IMAGE":
        raise header.refusal("SeriesType", "not of slices", "give the slices, not their projections")


def _check_size(slices: list[Header], name: str) -> None:
    rows, columns = _size(slices[0])
    for header in slices[1:]:
        if _size(header) != (rows, columns):
            tag = "Rows" if _size(header)[0] != rows else "Columns"
            raise header.refusal(tag, f"not that of {slices[0].file}", "give one series")
    if rows * columns * len(slices) > MAX_VOXELS:
        raise DicomError(f"series {name}: {columns} × {rows} × {len(slices)} is over {MAX_VOXELS} voxels; crop it")
    if len(slices) < 2:
        raise DicomError(f"series {name}: one slice ({slices[0].file}) is no volume; give the whole series")
    if "NumberOfSlices" in slices[0].dataset:
        expected = slices[0].whole("NumberOfSlices", (1, 65535), RESEND)
        if expected > len(slices):
            raise slices[0].refusal("NumberOfSlices", f"but there are {len(slices)} files", RESEND)


def _size(header: Header) -> tuple[int, int]:
    remedy = "give the PET series as the scanner made it"
    return header.whole("Rows", (2, 8192), remedy), header.whole("Columns", (2, 8192), remedy)


def _values(slices: list[Header], suv: Suv, name: str) -> Array:
    """Convert to SUV, (column, row, slice) float32, by each slice's rescale slope and factor; deletes the pixels."""
    rows, columns = _size(slices[0])
    values = np.empty((columns, rows, len(slices)), np.float32, order="F")
    for k, header in enumerate(slices):
        slope = header.number("RescaleSlope", SLOPE, RESEND)
        intercept = header.number("RescaleIntercept", INTERCEPT, RESEND)
        stored = pixels(header, rows, columns)
        with np.errstate(over="ignore"):  # infinity is refused below
            plane = stored * (slope * suv.factors[k]) + intercept * suv.factors[k]
        plane[padded(header, stored, plane)] = 0.0
        values[:, :, k] = plane.T
        del header.dataset.PixelData
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and 0 < high <= MAX_SUV):
        raise DicomError(
            f"series {name}: SUVmax {high:g} is not a PET scan's; correct dose, weight or rescale in the header"
        )
    return values
