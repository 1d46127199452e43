"""DICOM series in a folder and the folders below it, however they are sorted into files."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pydicom

from apps.wslpet.problems import UnknownName, shown
from apps.wslpet.sources import FACTS, FoundSegmentation, FoundSeries, facts_of, is_shown, is_uid

logger = logging.getLogger(__name__)

_TAGS = [*FACTS, "Modality", "SOPClassUID", "CorrectedImage", "SeriesType"]
# MONAI Label's own folders beside the scans.
_NOT_STUDIES = ("labels",)


class _Stamp(NamedTuple):
    """Changes when a file does."""

    size: int
    modified_ns: int


@dataclass(frozen=True)
class _Slice:
    """What is remembered of a file; without facts it is no PET slice."""

    stamp: _Stamp
    facts: dict[str, str] | None


class DicomFolder:
    """A `SeriesSource`. Headers are read once a file; looking again costs a look at names, sizes and times."""

    keeps_segmentations = False
    fresh_seconds = 1.0

    def __init__(self, folder: Path) -> None:
        self.name = f"folder {folder.name}"
        self._folder = folder
        self._slices: dict[Path, _Slice] = {}

    def search(self, known: Collection[str] = ()) -> dict[str, FoundSeries]:
        files = self._files_by_series()
        return {uid: self._found(uid, paths) for uid, paths in files.items()}

    def fetch(self, series: FoundSeries, folder: Path) -> list[Path]:
        files = self._files_by_series().get(series.uid)
        if not files:
            raise UnknownName(f"series {series.uid} is not in the studies folder any more")
        return files

    def segmentations(self, images: Collection[str], types: Collection[str]) -> dict[str, FoundSegmentation]:
        return {}

    def fetch_segmentation(self, study: str, uid: str, path: Path) -> None:
        raise UnknownName(f"segmentation {uid} is not in the studies folder")

    def store(self, path: Path) -> None:
        raise NotImplementedError

    def _files_by_series(self) -> dict[str, list[Path]]:
        before, self._slices = self._slices, {}
        found: dict[str, list[Path]] = {}
        for path, stamp in _files(self._folder):
            known = before.get(path)
            self._slices[path] = known if known and known.stamp == stamp else _Slice(stamp, _facts(path))
            facts = self._slices[path].facts
            if facts is not None:
                found.setdefault(facts["SeriesInstanceUID"], []).append(path)
        return found

    def _found(self, uid: str, paths: list[Path]) -> FoundSeries:
        stamps = [(str(path), *self._slices[path].stamp) for path in paths]
        facts = self._slices[paths[0]].facts
        return FoundSeries(uid, hashlib.sha256(repr(stamps).encode()).hexdigest()[:24], facts or {})


def _files(folder: Path) -> Iterator[tuple[Path, _Stamp]]:
    for here, folders, names in os.walk(folder):
        top = Path(here) == folder
        folders[:] = sorted(n for n in folders if not n.startswith(".") and not (top and n in _NOT_STUDIES))
        for name in sorted(names):
            path = Path(here, name)
            try:
                stat = path.stat()
            except OSError:
                continue
            if not name.startswith("."):
                yield path, _Stamp(stat.st_size, stat.st_mtime_ns)


def _facts(path: Path) -> dict[str, str] | None:
    """Of a file that is of a PET series to be shown; None for every other file."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        facts = facts_of(header)
        if facts["Modality"] != "PT" or not is_shown(header):
            return None
    except Exception:  # not DICOM, or damaged: pydicom raises nearly anything
        return None
    if not is_uid(facts["SeriesInstanceUID"]):
        logger.warning("%s: series UID %s is none; left out", path.name, shown(facts["SeriesInstanceUID"]))
        return None
    return facts
