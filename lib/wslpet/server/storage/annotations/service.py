"""Annotation service: records clicks of viewers, of the page and of imported tables, and answers with lesions.

Steps: convert the points to voxels; look for the same annotation in the log; check the uptake at each point and
delineate; record. A point that the delineation refuses (`InputError`) is not recorded. After any other failure the
annotation is recorded before the error is raised, so that it is not lost.

Lock order: each lock is taken before the next one in this list. Every wait has a time limit and ends with `BusyError`.

1. The image's file. A PACS may have to send it first, within its own time limit; no lock is held.
2. `processors`, a semaphore with first-in, first-out order (`fifo_semaphore.WAIT_SECONDS`).
3. The scan in memory, `ScanCache.checkout` (`scan_cache.WAIT_SECONDS`).
4. The datastore's thread lock (`atomic_io.THREAD_LOCK_SECONDS`) and `store.lock` between processes
   (`atomic_io.LOCK_SECONDS`): a click takes them to find its image, a submitted label until it is stored.
5. The seed log's thread lock and `seeds.lock` between processes, with the same limits, for one fsync.

A prediction takes its own lock (`Predictions`, with the limit of step 2) before step 2. No click waits for that lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic

import numpy as np

from wslpet.core.errors import InputError, SeedError
from wslpet.core.seeds import BACKGROUND, NO_TUMOUR, Annotation, Seed
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.data.log_records import LogRecord, Remark
from wslpet.method.inference.pipeline import check_click, delineate
from wslpet.method.inference.result import Result
from wslpet.server.errors import quoted
from wslpet.server.http.fifo_semaphore import processors
from wslpet.server.storage.annotations.clicks import place
from wslpet.server.storage.annotations.requests import (
    AnnotationRequest,
    Answer,
    Known,
    Place,
    Recorded,
    known_by_request,
)
from wslpet.server.storage.datastore import SeededDatastore


@dataclass(frozen=True)
class OpenScan:
    """A scan in memory, and the seconds that reading it took."""

    volume: Volume
    read_seconds: float


@dataclass
class _Pending:
    """State of a request while it is served.

    Parameters
    ----------
    request : the request.
    is_known : finds the equal annotation in a history.
    annotation : the request's annotation.
    alone : whether there is one reader per patient.
    meanwhile : records of others that the last search found.
    """

    request: AnnotationRequest
    is_known: Known | None
    annotation: Annotation
    alone: bool = True
    meanwhile: list[LogRecord] = field(default_factory=list)

    def search(self, history: Sequence[LogRecord]) -> Annotation | None:
        others = (said for said in history[self.request.seen :] if said.user != self.request.user)
        self.meanwhile = [said for said in others if self.alone and not isinstance(said, Remark)]
        return None if self.is_known is None else self.is_known(history, self.annotation)


class AnnotationService:
    """Checks, delineates, records and withdraws annotations.

    Parameters
    ----------
    datastore : has the images and the seed log.
    settings : have the classes that may be clicked.
    """

    def __init__(self, datastore: SeededDatastore, settings: Settings) -> None:
        self._datastore = datastore
        self._settings = settings

    @contextmanager
    def opened(self, path: Path) -> Iterator[OpenScan]:
        """Hold a slot of `processors` and the scan of a file in memory while the block runs."""
        with processors:
            start = monotonic()
            with self._datastore.scans.checkout(path) as volume:
                yield OpenScan(volume, monotonic() - start)

    def preview(self, request: AnnotationRequest) -> Result:
        """Delineate the lesions of a request without recording anything. Raises the errors of `annotate`."""
        with self.opened(self._path(request)) as scan:
            annotation = self._annotation(request, scan.volume)
            return delineate(scan.volume, annotation, settings=self._settings, sure=True)

    def check(self, request: AnnotationRequest, known: Known | None = None) -> Recorded[None]:
        """Check the uptake at each point and record; no lesion is returned. Parameters and errors as `annotate`."""

        def checked(scan: OpenScan, annotation: Annotation) -> None:
            check_click(scan.volume, annotation, self._settings, request.sure)

        return self.annotate(request, checked, known or known_by_request(request))

    def annotate(
        self,
        request: AnnotationRequest,
        delineated: Callable[[OpenScan, Annotation], Answer],
        known: Known | None = None,
    ) -> Recorded[Answer]:
        """Delineate and record an annotation; it is on disk when this returns.

        Parameters
        ----------
        delineated : (scan, annotation) → answer; an InputError refuses the annotation.
        known : finds the annotation that the same request recorded before, also if the request was sent twice at
            once or before a restart. None records every request: a viewer sends no id, and a person may click the
            same voxel again.

        Raises
        ------
        SeedError
            if the type is not configured, a point is outside the scan, or its uptake does not stand out.
        Conflict
            if the request's id is that of another annotation.
        StorageError
            if the disk refuses it.
        """
        path = self._path(request)
        with self.opened(path) as scan:
            alone = not self._datastore.readings.blind
            pending = _Pending(request, known, self._annotation(request, scan.volume), alone)
            answer = None
            if self._recorded_before(pending) is None:
                try:
                    answer = delineated(scan, pending.annotation)
                except InputError:
                    raise
                except Exception:
                    self._record(pending)
                    raise
            said = self._record(pending)
        return Recorded(said, said is not pending.annotation, tuple(pending.meanwhile), answer)

    def withdraw(self, image_id: str, time: str, user: str, all_of_them: bool = False) -> None:
        """Withdraw the newest annotation, recorded at `time`; or all, and the final label with them.

        The label is moved to `.wslpet/superseded`. Where several readers read a patient, it is the newest of that user.

        Raises
        ------
        Conflict
            if another annotation is the newest by now; nothing is changed.
        InputError
            if the final label is on a PACS, where it cannot be deleted; nothing is changed.
        """
        self._datastore.image_path(image_id)
        self._datastore.withdraw(image_id, time, user, all_of_them)

    def remark(self, image_id: str, user: str, flag: bool, unsure: bool, comment: str) -> None:
        """Record a reader's remark on an image. It is on disk when this returns."""
        self._datastore.image_path(image_id)
        self._datastore.seeds.remark(image_id, Remark(user, _now(), flag, unsure, comment))

    def history(self, image_id: str, reader: str = "") -> list[tuple[LogRecord, bool]]:
        """Return the records of an image, newest last, each with whether it is the one that a training uses.

        Parameters
        ----------
        reader : name of the reader who asks; records that are hidden from this reader are left out.
        """
        newest = self._datastore.seeds.get(image_id)[-1:]
        counting = [said for said in newest if said.cancer_type in self._settings.classes]
        return [(said, said in counting) for said in self._datastore.readings.history(image_id, reader)]

    def _path(self, request: AnnotationRequest) -> Path:
        """Return the image's file, fetched from the PACS if needed. Raises SeedError for a request without a point."""
        if request.cancer_type != NO_TUMOUR and not request.lesions:
            raise SeedError(f"{request.cancer_type} needs a place; click on the tumour")
        return request.path or self._datastore.image_path(request.image_id)

    def _recorded_before(self, pending: _Pending) -> Annotation | None:
        image_id = pending.request.image_id
        if image_id is None or pending.is_known is None:
            return None
        return pending.search(self._datastore.seeds.history(image_id))

    def _record(self, pending: _Pending) -> Annotation:
        image_id = pending.request.image_id
        if image_id is None:
            return pending.annotation
        self._datastore.image_path(image_id)  # raises if the image was removed meanwhile
        return self._datastore.seeds.append(image_id, pending.annotation, pending.is_known and pending.search)

    def _annotation(self, request: AnnotationRequest, volume: Volume) -> Annotation:
        """Convert the request to an annotation. Raises SeedError for an unknown type or a point outside the volume."""
        if request.cancer_type not in self._settings.classes:
            known = ", ".join(self._settings.classes)
            raise SeedError(f"unknown cancer type {quoted(request.cancer_type)}; known are {known}")
        time, before = request.time or _now(), list[Annotation]()
        if request.image_id is not None:
            before = self._datastore.readings.known_before(request.image_id, request.user, request.review)
            before = before if request.review else before[-1:]

        def seeds(cancer_type: str, places: tuple[Place, ...]) -> tuple[Seed, ...]:
            placed = (place(cancer_type, _index(one, volume), volume, request.user, one.contour) for one in places)
            return tuple(_first_recorded(replace(seed, time=time), before) for seed in placed)

        lesions = seeds(request.cancer_type, request.lesions or (Place(),))
        background = seeds(BACKGROUND, request.background)
        return Annotation(lesions, background, request.user, time, request.id, request.review)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _index(place: Place, volume: Volume) -> list[float]:
    """Return the index of a point: as sent, or that of its position (to 0.001 voxel), or the middle of the scan."""
    if place.index is not None:
        return list(place.index)
    middle = (np.array(volume.shape) - 1) / 2
    index = middle if place.position is None else volume.to_index(np.array(place.position))
    rounded: list[float] = np.round(index, 3).tolist()
    return rounded


def _first_recorded(seed: Seed, before: Sequence[Annotation]) -> Seed:
    """Give a seed the user and time of its first record, since each annotation repeats the seeds before it."""
    for said in [seed for annotation in before for seed in (*annotation.seeds, *annotation.background)]:
        if (said.cancer_type, said.index) == (seed.cancer_type, seed.index):
            return replace(seed, user=said.user, time=said.time)
    return seed
