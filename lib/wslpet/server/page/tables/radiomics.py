"""Radiomics of the cohort as a job: one lesion after the other in the background, then a table.

Features of an annotation are kept in `.wslpet/radiomics`, so that a job that was stopped, or starts after one more
annotation, measures only what is new.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from wslpet.analysis.burden.tables import DIGITS, SCAN_COLUMNS, lesion_rows
from wslpet.core.errors import InputError
from wslpet.core.seeds import Annotation
from wslpet.io.cache.disk_cache import DiskCache
from wslpet.server.errors import Conflict
from wslpet.server.page.tables.burden import CohortBurden
from wslpet.server.storage.datastore import SeededDatastore

logger = logging.getLogger(__name__)

# Some thousand patients.
CACHE_BYTES = 64 << 20
# Another one when the features mean something else.
_FORMAT = 1
_OF_LESION = ("lesion", "cancer_type", "x_mm", "y_mm", "z_mm", "user", "time")
State = Literal["none", "running", "done", "stopped"]
Row = dict[str, str]


@dataclass(frozen=True)
class RadiomicsProgress:
    """How far the job is.

    Parameters
    ----------
    state : "none" before the first one since the server started.
    done, total : images.
    lesions : measured so far.
    failed : image → why it has no row.
    """

    state: State = "none"
    done: int = 0
    total: int = 0
    lesions: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)


class RadiomicsJob:
    """Measures the features of all annotated images; one job at a time.

    Parameters
    ----------
    burden : gives each image's lesions.
    """

    def __init__(self, burden: CohortBurden, store: SeededDatastore) -> None:
        self._burden = burden
        self._store = store
        self._kept = DiskCache(store.private / "radiomics", CACHE_BYTES)
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._rows: dict[str, list[Row]] = {}
        self._progress = RadiomicsProgress()

    @property
    def progress(self) -> RadiomicsProgress:
        """How far it is now."""
        return self._progress

    def start(self) -> RadiomicsProgress:
        """Begin with the annotations that count now.

        Raises
        ------
        Conflict
            when a job runs.
        InputError
            when no image has an annotation.
        """
        with self._guard:
            if self._progress.state == "running":
                raise Conflict(f"radiomics are being measured: {self._progress.done} of {self._progress.total} images")
            seeded = self._store.seeded()
            images = {image: seeded[image] for image in self._burden.annotated()}
            if not images:
                raise InputError("no image has an annotation, so there is no lesion to measure; click one first")
            self._stop.clear()
            self._rows = {}
            self._progress = RadiomicsProgress("running", total=len(images))
            self._thread = threading.Thread(target=self._run, args=(images,), name="radiomics", daemon=True)
            self._thread.start()
            return self._progress

    def stop(self) -> RadiomicsProgress:
        """End after the image that is measured now; what was measured is kept."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        return self._progress

    def rows(self, reader: str) -> Iterator[Row]:
        """One row for each lesion, `columns` → text, without images that are hidden from the reader.

        Raises
        ------
        Conflict
            when no job has come to its end.
        """
        if self._progress.state != "done":
            raise Conflict("the radiomics are not measured yet; start the job, and ask again when it is done")
        for image, rows in self._rows.items():
            if not self._store.readings.of(image).hidden_from(reader):
                yield from rows

    def _run(self, images: Mapping[str, Annotation]) -> None:
        for image, annotation in images.items():
            if self._stop.is_set():
                break
            now = self._progress
            try:
                rows = self._measured(image, annotation)
            except Exception as error:  # one image must not keep the others out of the table
                if not isinstance(error, (InputError, OSError)):
                    logger.exception("radiomics of %s", image)
                self._progress = replace(now, done=now.done + 1, failed={**now.failed, image: str(error)})
                continue
            self._rows[image] = rows
            self._progress = replace(now, done=now.done + 1, lesions=now.lesions + len(rows))
        ended: State = "done" if self._progress.done == self._progress.total else "stopped"
        self._progress = replace(self._progress, state=ended)

    def _measured(self, image: str, annotation: Annotation) -> list[Row]:
        key = f"{_FORMAT} {self._burden.key(image, annotation)}"
        kept = self._kept.get(key)
        if kept is None:
            kept = json.dumps(self._features(image, annotation)).encode()
            self._kept.set(key, kept)
        rows: list[Row] = json.loads(kept)
        return rows

    def _features(self, image: str, annotation: Annotation) -> list[Row]:
        from wslpet.analysis.radiomics import radiomics  # slow to import

        volume, scan = self._store.volume(image), self._burden.scan(image, annotation)
        rows = []
        for row, lesion in zip(lesion_rows(scan.record), scan.record.lesions, strict=True):
            found = radiomics(volume, scan.labels.array == lesion.number, strict=False)
            named = {name: row[name] for name in (*SCAN_COLUMNS, *_OF_LESION)}
            rows.append({**named, **{name: _text(value) for name, value in found.items()}})
        return rows


def columns() -> tuple[str, ...]:
    """Of the table: which scan and lesion, then the features of `wslpet.analysis.radiomics.catalogue`."""
    from wslpet.analysis.radiomics import catalogue  # slow to import

    return (*SCAN_COLUMNS, *_OF_LESION, *catalogue())


def _text(value: float) -> str:
    """Empty where a feature is not defined."""
    return "" if math.isnan(value) else f"{value:.{DIGITS}g}"
