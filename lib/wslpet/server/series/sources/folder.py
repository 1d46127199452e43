"""Source of the DICOM series in a folder and its subfolders, in any arrangement of the files."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from wslpet.io.dicom.files import is_candidate
from wslpet.io.dicom.headers import read_dicom
from wslpet.io.folders import look_into
from wslpet.server.errors import UnknownName, quoted
from wslpet.server.series.sources.ct import TAGS as CT_TAGS
from wslpet.server.series.sources.ct import CtSlice, ct_slice
from wslpet.server.series.sources.source import FACTS, FoundSegmentation, FoundSeries, facts_of, is_uid, why_left_out

logger = logging.getLogger(__name__)

_TAGS = [*FACTS, "CorrectedImage", "SeriesType", *CT_TAGS]
# MONAI Label's own folders beside the scans.
_NOT_STUDIES = ("labels",)
_DAMAGED = "it cannot be read as DICOM; take it out of the folder, or copy it again"


class _Stamp(NamedTuple):
    """Size and modification time of a file, which change whenever the file does."""

    size: int
    modified_ns: int


@dataclass(frozen=True)
class _File:
    """A file whose header was read.

    Parameters
    ----------
    stamp : its stamp when the header was read.
    facts : elements of its header; None if it cannot be read.
    left_out : why it is not listed; "" if it is a slice of a listed series.
    ct : of a slice of a CT, what it says of its series.
    """

    stamp: _Stamp
    facts: dict[str, str] | None
    left_out: str = ""
    ct: CtSlice | None = None


class DicomFolder:
    """A `SeriesSource`. Each header is read once; later searches compare names, sizes and modification times."""

    keeps_segmentations = False
    fresh_seconds = 1.0

    def __init__(self, folder: Path) -> None:
        self.name = f"folder {folder.name}"
        self._folder = folder
        self._files: dict[Path, _File] = {}
        self._cts: dict[str, list[Path]] = {}
        self.left_out: dict[str, str] = {}

    def search(self, known: Collection[str] = ()) -> dict[str, FoundSeries]:
        files = self._files_by_series()
        return {uid: self._found(uid, paths) for uid, paths in files.items()}

    def fetch(self, series: FoundSeries, folder: Path) -> list[Path]:
        files = self._files_by_series().get(series.uid) or self._cts.get(series.uid)
        if not files:
            raise UnknownName(f"series {series.uid} is not in the studies folder any more")
        return files

    def ct(self, study: str, frame: str) -> FoundSeries | None:
        found = list[tuple[float, FoundSeries]]()
        for uid, paths in self._cts.items():
            file = self._files.get(paths[0])
            if file and file.ct and file.facts and (file.facts["StudyInstanceUID"], file.ct.frame) == (study, frame):
                found.append((len(paths) * file.ct.thickness_mm, self._found(uid, paths)))
        return max(found, key=lambda one: one[0])[1] if found else None

    def segmentations(self, images: Mapping[str, FoundSeries], types: Collection[str]) -> dict[str, FoundSegmentation]:
        return {}

    def fetch_segmentation(self, study: str, uid: str, path: Path) -> None:
        raise UnknownName(f"segmentation {uid} is not in the studies folder")

    def store(self, path: Path) -> None:
        raise NotImplementedError

    def _files_by_series(self) -> dict[str, list[Path]]:
        before, files = self._files, dict[Path, _File]()
        found: dict[str, list[Path]] = {}
        cts: dict[str, list[Path]] = {}
        damaged: dict[Path, list[Path]] = {}
        others: dict[tuple[str, str], list[Path]] = {}
        for path, stamp in _slices(self._folder):
            known = before.get(path)
            file = files[path] = known if known and known.stamp == stamp else _looked_at(path, stamp)
            if file.ct and file.facts:
                cts.setdefault(file.facts["SeriesInstanceUID"], []).append(path)
            if file.facts is None:
                damaged.setdefault(path.parent, []).append(path)
            elif file.left_out:
                others.setdefault((file.facts["SeriesInstanceUID"], file.left_out), []).append(path)
            else:
                found.setdefault(file.facts["SeriesInstanceUID"], []).append(path)
        self._files, self._cts = files, cts
        # A damaged file may be a slice of a series in the same folder, which must not be read without it.
        for paths in found.values():
            paths += [path for folder in dict.fromkeys(p.parent for p in paths) for path in damaged.get(folder, [])]
        beside = {path.parent for paths in found.values() for path in paths}
        alone = [([path], _DAMAGED) for folder, paths in damaged.items() if folder not in beside for path in paths]
        self._leave_out([*((paths, why) for (_, why), paths in others.items()), *alone])
        return found

    def _leave_out(self, others: list[tuple[list[Path], str]]) -> None:
        """Set `left_out`, with one entry per series, named by its first file; log new entries."""
        before, left_out = self.left_out, dict[str, str]()
        for (first, *more), why in others:
            name = str(first.relative_to(self._folder)).encode(errors="backslashreplace").decode()
            left_out[name] = f"{why} ({len(more) + 1} files of one series)" if more else why
            if before.get(name) != left_out[name]:
                logger.warning("left out: %s: %s", name, left_out[name])
        self.left_out = left_out

    def _found(self, uid: str, paths: list[Path]) -> FoundSeries:
        stamps = [(str(path), *self._files[path].stamp) for path in paths]
        facts = self._files[paths[0]].facts
        return FoundSeries(uid, hashlib.sha256(repr(stamps).encode()).hexdigest()[:24], facts or {})


def _slices(folder: Path) -> Iterator[tuple[Path, _Stamp]]:
    """Yield the files whose names may be those of slices."""
    for path in (folder / name for name in look_into(folder, _NOT_STUDIES).files):
        if is_candidate(path.name):
            with suppress(OSError):
                stat = path.stat()
                yield path, _Stamp(stat.st_size, stat.st_mtime_ns)


def _looked_at(path: Path, stamp: _Stamp) -> _File:
    try:
        header = read_dicom(path, _TAGS)
        facts = facts_of(header)
        why = why_left_out(header)
    except Exception:  # pydicom raises nearly anything for a damaged file
        return _File(stamp, None)
    if facts["Modality"] != "PT":
        why = f"Modality is {quoted(facts['Modality'])}, not PT" if facts["Modality"] else "it has no Modality"
    elif not why and not is_uid(facts["SeriesInstanceUID"]):
        why = f"Series Instance UID is {quoted(facts['SeriesInstanceUID'])}, which is no UID"
    return _File(stamp, facts, why, ct_slice(header))
