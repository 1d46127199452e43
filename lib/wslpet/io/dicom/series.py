"""Read a DICOM PET series as an SUV volume; only complete static series of parallel slices are accepted.

Slices are sorted by their position along the normal (PS3.3 C.7.6.2), never by file name or instance number.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import defragment_data
from pydicom.uid import (
    JPEG2000,
    UID,
    EnhancedPETImageStorage,
    JPEG2000Lossless,
    LegacyConvertedEnhancedPETImageStorage,
    PositronEmissionTomographyImageStorage,
    RLELossless,
)

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.errors import DicomError
from wslpet.core.limits import MAX_SUV, MAX_VOXELS
from wslpet.core.volume import SPACING_RANGE_MM, Volume
from wslpet.io.dicom.headers import PYDICOM_3, RESEND, Header, Limits, read_dicom
from wslpet.io.dicom.jpeg import JPEG, decoded_jpeg
from wslpet.io.dicom.suv import Suv, suv_of

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Endings of slice files; other files in the folder, such as a DICOMDIR or notes, are not read.
SLICE_SUFFIXES = ("", ".dcm", ".ima", ".img", ".dicom")
BESIDE = ("DICOMDIR", "README", "LICENSE", "VERSION")
MULTI_FRAME = (EnhancedPETImageStorage, LegacyConvertedEnhancedPETImageStorage)
STATIC = ("STATIC", "WHOLE BODY", "WHOLEBODY")
# Others hold 8 bits or films.
BY_PYDICOM = {RLELossless: "pydicom" if PYDICOM_3 else "rle", JPEG2000Lossless: "pillow", JPEG2000: "pillow"}
MAX_BYTES = 4 * MAX_VOXELS
POSITION_MM: Limits = (-1e4, 1e4)
SLOPE: Limits = (1e-12, 1e9)
INTERCEPT: Limits = (-1e9, 1e9)
# Tolerance of direction cosines (unit length, perpendicular, same in all slices): header rounding.
COSINE_TOLERANCE = 1e-3
# Tolerance of slice positions in an evenly spaced stack, as a share of the spacing: rounding, bed overlaps.
PLACE_TOLERANCE = 0.1


@dataclass(frozen=True, eq=False)
class Series:
    """One PET series.

    Parameters
    ----------
    volume : (i, j, k) float32 SUVbw: i the column, j the row, k the slice along the normal, which is the cross product
        of row and column cosines; the affine is in mm RAS.
    suv : the SUV conversion, one factor per slice along k.
    files : of the slices, along k.
    header : of the slice at k = 0, without pixels.
    notes : what was inferred rather than read, or left out, one sentence each.
    """

    volume: Volume
    suv: Suv
    files: tuple[Path, ...]
    header: Dataset
    notes: tuple[str, ...] = ()


def find_series(folder: str | os.PathLike[str], modality: str | None = None) -> dict[str, list[Path]]:
    """Group the DICOM files in and below a folder: Series Instance UID → its files, sorted by path.

    Files that are not DICOM, lack the UID or have another modality than the one asked for are left out.
    """
    found: dict[str, list[Path]] = {}
    for path in _candidates(Path(folder)):
        try:
            header = Header(read_dicom(path, ["SeriesInstanceUID", "Modality"]))
        except DicomError:
            continue
        uid = header.text("SeriesInstanceUID")
        if uid and modality in (None, header.text("Modality")):
            found.setdefault(uid, []).append(path)
    return found


def read_series(source: str | os.PathLike[str] | Sequence[Path]) -> Series:
    """Read one static PET series in SUV, from its folder (and those below) or its files.

    Raises
    ------
    DicomError
        when the files are not one complete static PET series, a header value is missing or invalid, pixels are
        damaged, or SUV cannot be computed (`wslpet.io.dicom.suv.suv_of`).
    """
    files, name = _files_of(source)
    slices, copies = _without_copies([Header(read_dicom(path)) for path in files])
    files = [Path(header.path) for header in slices]
    _check_one_series(slices, name)
    for header in slices:
        _check_kind(header)
    _check_size(slices, name)
    order, affine = _stack(slices, name)
    slices, files = [slices[k] for k in order], [files[k] for k in order]
    suv = suv_of([header.dataset for header in slices])
    volume = Volume(_values(slices, suv, name), affine, "SUV", name)
    first = slices[0].dataset
    return Series(volume, suv, tuple(files), first, (*copies, *suv.notes))


def _files_of(source: str | os.PathLike[str] | Sequence[Path]) -> tuple[list[Path], str]:
    if isinstance(source, (str, os.PathLike)):
        folder = Path(source)
        if not folder.is_dir():
            raise DicomError(f"series {folder.name}: not a folder; give the folder of one DICOM series")
        files, name = _candidates(folder), folder.name
    else:
        files = [Path(path) for path in source]
        name = files[0].parent.name if files else "without files"
    if not files:
        raise DicomError(f"series {name}: no DICOM file; give the folder of one DICOM series")
    try:
        size = sum(path.stat().st_size for path in files)
    except OSError as error:
        raise DicomError(f"{Path(error.filename).name} cannot be read ({error.strerror}); {RESEND}") from error
    if size > MAX_BYTES:
        raise DicomError(f"series {name}: {size / 1e9:.1f} GB, over {MAX_BYTES / 1e9:g}; give one PET series")
    return files, name


def _candidates(folder: Path) -> list[Path]:
    return sorted(path for path in files_below(folder) if is_candidate(path.name) and path.is_file())


def files_below(folder: Path, left_out: Collection[str] = ()) -> Iterator[Path]:
    """Iterate over all files in and below a folder, following links to folders.

    A folder that is reached in two ways, or that holds a link to itself, is visited once.

    Parameters
    ----------
    left_out : names of folders directly in `folder` that are skipped; hidden folders are skipped everywhere.
    """
    seen: set[tuple[int, int]] = set()
    for here, folders, names in os.walk(folder, followlinks=True):
        stat = os.stat(here)
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        top = Path(here) == folder
        folders[:] = sorted(name for name in folders if not (name.startswith(".") or (top and name in left_out)))
        yield from (Path(here, name) for name in sorted(names))


@lru_cache(1 << 16)
def is_candidate(name: str) -> bool:
    """Whether a file should be a slice, judged by its name, so that an empty file is reported as a damaged slice."""
    suffix = Path(name).suffix.lower()
    hidden = name.startswith(".") or name in BESIDE
    return not hidden and (suffix in SLICE_SUFFIXES or suffix[1:].isdigit())


def _without_copies(slices: list[Header]) -> tuple[list[Header], list[str]]:
    """Drop duplicate SOP instances, as of a series that was exported twice; returns the slices and notes."""
    found: dict[str, Header] = {}
    kept, copies = [], 0
    for header in slices:
        uid = header.text("SOPInstanceUID")
        first = found.setdefault(uid, header)
        if not uid or first is header:
            kept.append(header)
        elif _content(header) == _content(first):
            copies += 1
        else:
            one, two = _apart(first, header)
            raise DicomError(
                f"{one} and {two} are one image (SOP Instance UID (0008,0018) {uid}), but differ; remove one of them"
            )
    told = "file is a copy of another" if copies == 1 else "files are copies of others"
    return kept, [f"{copies} {told}: each image counts once."] if copies else []


def _content(header: Header) -> bytes:
    """Content of a file without preamble and file meta information, which differ by the software that wrote it."""
    content = header.path.read_bytes()
    if content[128:132] != b"DICM" or content[132:136] != b"\2\0\0\0":
        return content
    return content[144 + int.from_bytes(content[140:144], "little") :]


def _apart(one: Header, two: Header) -> tuple[str, str]:
    """Names of two files, with as much of their paths as distinguishes them."""
    if one.file != two.file:
        return one.file, two.file
    above = os.path.commonpath([one.path, two.path])
    return os.path.relpath(one.path, above), os.path.relpath(two.path, above)


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
        told = slices[0].whole("NumberOfSlices", (1, 65535), RESEND)
        if told > len(slices):
            raise slices[0].refusal("NumberOfSlices", f"but there are {len(slices)} files", RESEND)


def _size(header: Header) -> tuple[int, int]:
    remedy = "give the PET series as the scanner made it"
    return header.whole("Rows", (2, 8192), remedy), header.whole("Columns", (2, 8192), remedy)


def _stack(slices: list[Header], name: str) -> tuple[Array, Array]:
    """Order of the slices along the normal, and the affine (4, 4): column, row, slice → mm RAS."""
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
        one, two = _apart(slices[k], slices[k + 1])
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


def _values(slices: list[Header], suv: Suv, name: str) -> Array:
    """SUV, (column, row, slice) float32, each slice by its own rescale slope and factor; frees the pixels."""
    rows, columns = _size(slices[0])
    values = np.empty((columns, rows, len(slices)), np.float32, order="F")
    for k, header in enumerate(slices):
        slope = header.number("RescaleSlope", SLOPE, RESEND)
        intercept = header.number("RescaleIntercept", INTERCEPT, RESEND)
        stored = _pixels(header, rows, columns)
        with np.errstate(over="ignore"):  # infinity is refused below
            plane = stored * (slope * suv.factors[k]) + intercept * suv.factors[k]
        plane[_padded(header, stored, plane)] = 0.0
        values[:, :, k] = plane.T
        del header.dataset.PixelData
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and 0 < high <= MAX_SUV):
        raise DicomError(
            f"series {name}: SUVmax {high:g} is not a PET scan's; correct dose, weight or rescale in the header"
        )
    return values


def _pixels(header: Header, rows: int, columns: int) -> Array:
    """Stored values (row, column), as signed or unsigned integers."""
    remedy = "store the series as 16-bit MONOCHROME2, as PET is"
    if header.text("PhotometricInterpretation") != "MONOCHROME2":
        raise header.refusal("PhotometricInterpretation", "not MONOCHROME2", remedy)
    header.whole("SamplesPerPixel", (1, 1), remedy)
    header.whole("BitsAllocated", (16, 16), remedy)
    bits = header.whole("BitsStored", (8, 16), remedy)
    header.whole("HighBit", (bits - 1, bits - 1), remedy)
    signed = header.whole("PixelRepresentation", (0, 1), remedy)
    stored = _decoded(header, rows, columns).view(np.int16 if signed else np.uint16)
    unused = 16 - bits
    return (stored << unused) >> unused if unused else stored


def _padded(header: Header, stored: Array, plane: Array) -> Array:
    """Pixels with Pixel Padding Value (PS3.3 C.7.5.1.1.2), outside the field of view: (row, column) bool.

    Padding is connected to the edge. Positive pixels of the same value that are not connected to it are tissue.
    """
    padding = header.stored_value("PixelPaddingValue", stored.dtype)
    if padding is None:
        return np.zeros(stored.shape, bool)
    limit = header.stored_value("PixelPaddingRangeLimit", stored.dtype)
    low, high = sorted((padding, padding if limit is None else limit))
    inside = (stored >= low) & (stored <= high)
    edges = inside[0].any() or inside[-1].any() or inside[:, 0].any() or inside[:, -1].any()
    return inside if edges else inside & (plane < 0)


def _decoded(header: Header, rows: int, columns: int) -> Array:
    """Decoded pixels, (row, column) 16-bit words in native byte order."""
    dataset = header.dataset
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    name = getattr(syntax, "name", "no transfer syntax")
    if syntax is None or (syntax.is_compressed and syntax not in (*BY_PYDICOM, *JPEG)):
        raise DicomError(
            f"{header.file}: pixels in {name} are not supported; store the series uncompressed, or in JPEG Lossless"
        )
    try:
        if syntax.is_compressed:
            decoded = _decompressed(dataset, rows, columns)
        else:
            order = "<u2" if syntax.is_little_endian else ">u2"
            decoded = np.frombuffer(dataset.PixelData, order, rows * columns)
        decoded = decoded.reshape(rows, columns)
    except Exception as error:
        raise DicomError(
            f"{header.file}: pixels ({name}) are damaged or cut short ({type(error).__name__}); {RESEND}"
        ) from error
    return decoded.astype(decoded.dtype.newbyteorder("="))


def _decompressed(dataset: Dataset, rows: int, columns: int) -> Array:
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in JPEG:
        return decoded_jpeg(defragment_data(dataset.PixelData), syntax, rows, columns)
    dataset.convert_pixel_data(BY_PYDICOM[syntax])
    decoded = dataset.pixel_array
    if decoded.dtype.itemsize != 2:
        raise ValueError
    return decoded
