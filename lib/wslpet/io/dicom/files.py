"""Files of DICOM series: in and below a folder, each image once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

from wslpet.core.errors import DicomError
from wslpet.core.limits import MAX_VOXELS
from wslpet.io.dicom.headers import RESEND, Header, read_dicom
from wslpet.io.folders import look_into

# Endings of slice files. Other files in the folder, such as a DICOMDIR or notes, are not read.
SLICE_SUFFIXES = ("", ".dcm", ".ima", ".img", ".dicom")
BESIDE = ("DICOMDIR", "README", "LICENSE", "VERSION")
MAX_BYTES = 4 * MAX_VOXELS


def find_series(folder: str | os.PathLike[str], modality: str | None = None) -> dict[str, list[Path]]:
    """Group the DICOM files in and below a folder: Series Instance UID → its files, sorted by path.

    Files that are not DICOM, or lack the UID, are left out.

    Parameters
    ----------
    modality : restricts the search to series of this modality, such as "PT".
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


def files_of(source: str | os.PathLike[str] | Sequence[Path]) -> tuple[list[Path], str]:
    """Return the files of a series and its name for error messages, from its folder or a list of files.

    Raises
    ------
    DicomError
        if there is no file, a file cannot be read, or the files are too large.
    """
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
    return sorted(folder / name for name in look_into(folder).files if is_candidate(PurePosixPath(name).name))


@lru_cache(1 << 16)
def is_candidate(name: str) -> bool:
    """Whether a file may be a slice, by its name alone, so that an empty file is reported as a damaged slice."""
    suffix = Path(name).suffix.lower()
    hidden = name.startswith(".") or name in BESIDE
    return not hidden and (suffix in SLICE_SUFFIXES or suffix[1:].isdigit())


def without_copies(slices: list[Header]) -> tuple[list[Header], list[str]]:
    """Remove duplicate SOP instances, as in a series that was exported twice. Returns the slices, and notes.

    Raises
    ------
    DicomError
        if two files have the same SOP Instance UID and different content.
    """
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
            one, two = apart(first, header)
            raise DicomError(
                f"{one} and {two} are one image (SOP Instance UID (0008,0018) {uid}), but differ; remove one of them"
            )
    sentence = "file is a copy of another" if copies == 1 else "files are copies of others"
    return kept, [f"{copies} {sentence}: each image counts once."] if copies else []


def _content(header: Header) -> bytes:
    """Return the content of a file without preamble and file meta information, which depend on the writing software."""
    content = header.path.read_bytes()
    if content[128:132] != b"DICM" or content[132:136] != b"\2\0\0\0":
        return content
    return content[144 + int.from_bytes(content[140:144], "little") :]


def apart(one: Header, two: Header) -> tuple[str, str]:
    """Return the names of two files, or the parts of their paths that differ if the names are equal."""
    if one.file != two.file:
        return one.file, two.file
    above = os.path.commonpath([one.path, two.path])
    return os.path.relpath(one.path, above), os.path.relpath(two.path, above)
