"""The annotation service: the one way from clicks to a recorded annotation, for viewers, the page and imported tables.

Order of steps: place the points in the scan; answer what is on record already; check that something stands out at each,
and delineate; record. Points that the delineation refuses (`InputError`) are never recorded; what fails otherwise is
recorded before the error is raised, so that no annotation is lost.

Lock order, each taken before the next and none the other way round; every wait ends with a `BusyError`:

1. the image's file, which a PACS may have to send first (its own time limit), without a lock;
2. a place of `processors`, in the order of requests (`fifo_semaphore.WAIT_SECONDS`);
3. the scan in memory, `ScanCache.checkout` (`scan_cache.WAIT_SECONDS`);
4. the datastore's thread lock (`atomic_io.THREAD_LOCK_SECONDS`) and `store.lock` between processes
   (`atomic_io.LOCK_SECONDS`), which a click only looks an image up under, and a submitted label is kept under;
5. the log's thread lock and `seeds.lock` between processes, with the same limits, for one fsync.

A prediction holds its own lock (`Predictions`, as long as a place is waited for) before 2; no click waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import Generic, TypeVar

import numpy as np

from wslpet.core.errors import InputError, SeedError
from wslpet.core.seeds import (
    BACKGROUND,
    DEFAULT_CONTOUR,
    NO_TUMOUR,
    Annotation,
    ContourChoice,
    Seed,
    Withdrawal,
)
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.method.inference.pipeline import check_click, delineate
from wslpet.method.inference.result import Result
from wslpet.server.errors import Conflict, quoted
from wslpet.server.http.fifo_semaphore import processors
from wslpet.server.storage.annotations.clicks import place
from wslpet.server.storage.datastore import SeededDatastore

Said = Annotation | Withdrawal
Point = tuple[float, float, float]
Answer = TypeVar("Answer")
# Of a history, newest last, the annotation that a request asks to record, if it is there already.
Known = Callable[[Sequence[Said], Annotation], Annotation | None]


@dataclass(frozen=True)
class Place:
    """Where a request says that something is.

    Parameters
    ----------
    index : [i, j, k] of the volume as stored, as a viewer sends it; None when `position` says where.
    position : mm RAS.
    contour : of the lesion there, as the reader chose it.
    """

    index: Sequence[float] | None = None
    position: Point | None = None
    contour: ContourChoice = DEFAULT_CONTOUR


@dataclass(frozen=True)
class AnnotationRequest:
    """The lesions of a patient as one person sees them, or that there is no tumour.

    Parameters
    ----------
    image_id : in the datastore; None of a session's image, whose clicks are answered and teach nothing.
    cancer_type : one of the configured classes.
    user : who clicked.
    lesions : one place or more, the primary first; none of "no tumour" is the scan's middle.
    background : places without a lesion.
    id : of the request, which is recorded once however often it comes; "" where it has none.
    time : when it was clicked, ISO 8601; "" is now.
    seen : length of the history that the user saw; what others said since is told.
    sure : whether the user confirms clicks that the delineation doubts.
    path : the image's file; None asks the datastore.
    """

    image_id: str | None
    cancer_type: str
    user: str
    lesions: tuple[Place, ...] = ()
    background: tuple[Place, ...] = ()
    id: str = ""
    time: str = ""
    seen: int = 0
    sure: bool = False
    path: Path | None = None


@dataclass(frozen=True)
class Recorded(Generic[Answer]):
    """What became of a request.

    Parameters
    ----------
    annotation : on record: the request's own, or the known one.
    known : whether it was recorded before.
    meanwhile : by others since the user looked, superseded by this one.
    answer : of the delineation; None where the annotation was known.
    """

    annotation: Annotation
    known: bool = False
    meanwhile: tuple[Said, ...] = ()
    answer: Answer | None = None


@dataclass(frozen=True)
class OpenScan:
    """A scan in memory, and how many seconds it took to read."""

    volume: Volume
    read_seconds: float


@dataclass
class _Pending:
    """A request on its way: what its last look at the history found."""

    request: AnnotationRequest
    is_known: Known | None
    annotation: Annotation
    meanwhile: list[Said] = field(default_factory=list)

    def look(self, history: Sequence[Said]) -> Annotation | None:
        self.meanwhile = [said for said in history[self.request.seen :] if said.user != self.request.user]
        return None if self.is_known is None else self.is_known(history, self.annotation)


class AnnotationService:
    """Places, checks, delineates and records annotations; takes them back.

    Parameters
    ----------
    datastore : of the images and the log.
    settings : for the classes that may be clicked.
    """

    def __init__(self, datastore: SeededDatastore, settings: Settings) -> None:
        self._datastore = datastore
        self._settings = settings

    @contextmanager
    def opened(self, path: Path) -> Iterator[OpenScan]:
        """A place of `processors`, and the scan of a file, for as long as the block runs."""
        with processors:
            start = monotonic()
            with self._datastore.scans.checkout(path) as volume:
                yield OpenScan(volume, monotonic() - start)

    def preview(self, request: AnnotationRequest) -> Result:
        """The lesions that a request would be answered with; nothing is recorded. Errors as `annotate`."""
        with self.opened(self._path(request)) as scan:
            annotation = self._placed(request, scan.volume)
            return delineate(scan.volume, annotation, settings=self._settings, sure=True)

    def check(self, request: AnnotationRequest, known: Known | None = None) -> Recorded[None]:
        """Record lesions where something stands out, without an answer; parameters and errors as `annotate`."""

        def checked(scan: OpenScan, annotation: Annotation) -> None:
            check_click(scan.volume, annotation, self._settings, request.sure)

        return self.annotate(request, checked, known or known_by_request(request))

    def annotate(
        self,
        request: AnnotationRequest,
        delineated: Callable[[OpenScan, Annotation], Answer],
        known: Known | None = None,
    ) -> Recorded[Answer]:
        """Record an annotation and answer it; it is on disk when this returns.

        Parameters
        ----------
        delineated : answers the placed annotation, or refuses it with an InputError.
        known : says which annotation of the history the same request recorded, also when both come at once, or the
            server was restarted in between. None records every request: a viewer sends no id, and a person may click
            the same voxel again.

        Raises
        ------
        SeedError
            when the type is not configured, a point is outside the scan, or nothing stands out there.
        Conflict
            when the request's id is that of another annotation.
        StorageError
            when it cannot be written.
        """
        path = self._path(request)
        with self.opened(path) as scan:
            pending = _Pending(request, known, self._placed(request, scan.volume))
            answer = None
            if self._looked_up(pending) is None:
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
        """Take back the newest annotation, recorded at `time`, or all, with the final label.

        `.wslpet/superseded` keeps the label.

        Raises
        ------
        Conflict
            when another annotation is the newest by now; nothing is changed.
        InputError
            when the final label is on a PACS, from where it is not deleted; nothing is changed.
        """
        self._datastore.image_path(image_id)
        self._datastore.withdraw(image_id, time, user, all_of_them)

    def history(self, image_id: str) -> list[tuple[Said, bool]]:
        """All that was said of an image, newest last, each with whether it is what is learned from."""
        newest = self._datastore.seeds.get(image_id)[-1:]
        counting = [said for said in newest if said.cancer_type in self._settings.classes]
        return [(said, said in counting) for said in self._datastore.seeds.history(image_id)]

    def _path(self, request: AnnotationRequest) -> Path:
        """The image's file; a PACS may have to send it. Raises SeedError when the request says no place."""
        if request.cancer_type != NO_TUMOUR and not request.lesions:
            raise SeedError(f"{request.cancer_type} needs a place; click on the tumour")
        return request.path or self._datastore.image_path(request.image_id)

    def _looked_up(self, pending: _Pending) -> Annotation | None:
        image_id = pending.request.image_id
        if image_id is None or pending.is_known is None:
            return None
        return pending.look(self._datastore.seeds.history(image_id))

    def _record(self, pending: _Pending) -> Annotation:
        image_id = pending.request.image_id
        if image_id is None:
            return pending.annotation
        return self._datastore.record_seed(image_id, pending.annotation, pending.is_known and pending.look)

    def _placed(self, request: AnnotationRequest, volume: Volume) -> Annotation:
        """The request as an annotation; raises SeedError for an unknown type, or a place outside the volume."""
        if request.cancer_type not in self._settings.classes:
            known = ", ".join(self._settings.classes)
            raise SeedError(f"unknown cancer type {quoted(request.cancer_type)}; known are {known}")
        time = request.time or datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        before = () if request.image_id is None else self._datastore.seeds.get(request.image_id)[-1:]

        def seeds(cancer_type: str, places: tuple[Place, ...]) -> tuple[Seed, ...]:
            placed = (place(cancer_type, _index(one, volume), volume, request.user, one.contour) for one in places)
            return tuple(_first_said(replace(seed, time=time), before) for seed in placed)

        lesions = seeds(request.cancer_type, request.lesions or (Place(),))
        background = seeds(BACKGROUND, request.background)
        return Annotation(lesions, background, request.user, time, request.id)


def _index(place: Place, volume: Volume) -> list[float]:
    """As sent, or of the position to a thousandth of a voxel; of neither, the scan's middle."""
    if place.index is not None:
        return list(place.index)
    middle = (np.array(volume.shape) - 1) / 2
    index = middle if place.position is None else volume.to_index(np.array(place.position))
    rounded: list[float] = np.round(index, 3).tolist()
    return rounded


def _first_said(seed: Seed, before: Sequence[Annotation]) -> Seed:
    """A seed as it was said first: who repeats a place of the annotation before among others did not find it."""
    for said in [seed for annotation in before for seed in (*annotation.seeds, *annotation.background)]:
        if (said.cancer_type, said.index) == (seed.cancer_type, seed.index):
            return replace(seed, user=said.user, time=said.time)
    return seed


def known_by_request(request: AnnotationRequest) -> Known:
    """Make a function that finds the annotation that the same request brought, in an image's history.

    It has the request's id or, without one, says the same of the same person, which that person had not seen yet.
    The function raises Conflict when the id is another annotation's.
    """

    def known(history: Sequence[Said], annotation: Annotation) -> Annotation | None:
        if not annotation.id:
            unseen = (said for said in history[request.seen :] if isinstance(said, Annotation))
            return next((said for said in unseen if said.says_the_same(annotation)), None)
        found = next((said for said in history if isinstance(said, Annotation) and said.id == annotation.id), None)
        if found is not None and not found.says_the_same(annotation):
            raise Conflict(
                f"the id {quoted(annotation.id)} is that of another annotation of this image, {found.cancer_type} by "
                f"{quoted(found.user)} at {found.time}; nothing was recorded: send a new id with every annotation"
            )
        return found

    return known
