"""DICOM series in a folder and the folders below it, however they are sorted into files."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from wslpet.io.dicom.headers import read_dicom
from wslpet.io.dicom.series import files_below, is_candidate
from wslpet.server.errors import UnknownName, quoted
from wslpet.server.series.source import FACTS, FoundSegmentation, FoundSeries, facts_of, is_shown, is_uid

logger = logging.getLogger(__name__)

_TAGS = [*FACTS, "Modality", "SOPClassUID", "CorrectedImage", "SeriesType"]
# MONAI Label's own folders beside the scans.
_NOT_STUDIES = ("labels",)


class _Stamp(NamedTuple):
    """Changes when a file does."""

    size: int
    modified_ns: int


@dataclass(frozen=True)
class _File:
    """What is remembered of a file: the facts of a PET slice, or that it cannot be read, or neither."""

    stamp: _Stamp
    facts: dict[str, str] | None = None
    damaged: bool = False


class DicomFolder:
    """A `SeriesSource`. Headers are read once a file; looking again costs a look at names, sizes and times."""

    keeps_segmentations = False
    fresh_seconds = 1.0

    def __init__(self, folder: Path) -> None:
        self.name = f"folder {folder.name}"
        self._folder = folder
        self._files: dict[Path, _File] = {}

    def search(self, known: Collection[str] = ()) -> dict[str, FoundSeries]:
        files = self._files_by_series()
        return {uid: self._found(uid, paths) for uid, paths in files.items()}

    def fetch(self, series: FoundSeries, folder: Path) -> list[Path]:
        files = self._files_by_series().get(series.uid)
        if not files:
            raise UnknownName(f"series {series.uid} is not in the studies folder any more")
        return files

    def segmentations(self, images: Mapping[str, FoundSeries], types: Collection[str]) -> dict[str, FoundSegmentation]:
        return {}

    def fetch_segmentation(self, study: str, uid: str, path: Path) -> None:
        raise UnknownName(f"segmentation {uid} is not in the studies folder")

    def store(self, path: Path) -> None:
        raise NotImplementedError

    def _files_by_series(self) -> dict[str, list[Path]]:
        before, self._files = self._files, {}
        found: dict[str, list[Path]] = {}
        damaged: dict[Path, list[Path]] = {}
        for path, stamp in _slices(self._folder):
            known = before.get(path)
            file = self._files[path] = known if known and known.stamp == stamp else _looked_at(path, stamp)
            if file.facts is not None:
                found.setdefault(file.facts["SeriesInstanceUID"], []).append(path)
            elif file.damaged:
                damaged.setdefault(path.parent, []).append(path)
        # It may be a slice of any series beside it, which then must not be read as if it were whole.
        for paths in found.values():
            paths += [path for folder in dict.fromkeys(p.parent for p in paths) for path in damaged.get(folder, [])]
        return found

    def _found(self, uid: str, paths: list[Path]) -> FoundSeries:
        stamps = [(str(path), *self._files[path].stamp) for path in paths]
        facts = self._files[paths[0]].facts
        return FoundSeries(uid, hashlib.sha256(repr(stamps).encode()).hexdigest()[:24], facts or {})


def _slices(folder: Path) -> Iterator[tuple[Path, _Stamp]]:
    """Files that are named as slices are."""
    for path in files_below(folder, _NOT_STUDIES):
        if is_candidate(path.name):
            with suppress(OSError):
                stat = path.stat()
                yield path, _Stamp(stat.st_size, stat.st_mtime_ns)


def _looked_at(path: Path, stamp: _Stamp) -> _File:
    try:
        header = read_dicom(path, _TAGS)
        facts = facts_of(header)
        shown_to_annotators = facts["Modality"] == "PT" and is_shown(header)
    except Exception:  # pydicom raises nearly anything for a damaged file
        return _File(stamp, damaged=True)
    if not shown_to_annotators:
        return _File(stamp)
    if not is_uid(facts["SeriesInstanceUID"]):
        logger.warning("%s: series UID %s is none; left out", path.name, quoted(facts["SeriesInstanceUID"]))
        return _File(stamp)
    return _File(stamp, facts)
