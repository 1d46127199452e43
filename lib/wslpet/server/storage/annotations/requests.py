"""Requests to the annotation service, and its answers, as dataclasses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from wslpet.core.seeds import DEFAULT_CONTOUR, Annotation, ContourChoice
from wslpet.data.log_records import LogRecord
from wslpet.server.errors import Conflict, quoted

Point = tuple[float, float, float]
Answer = TypeVar("Answer")
# (history, newest last; annotation to record) → the equal annotation of the history, or None.
Known = Callable[[Sequence[LogRecord], Annotation], Annotation | None]


@dataclass(frozen=True)
class Place:
    """A point of a request.

    Parameters
    ----------
    index : (i, j, k) of the volume as stored, as a viewer sends it; None if the point is given by `position`.
    position : mm RAS.
    contour : the reader's choice for the contour of the lesion at this point.
    """

    index: Sequence[float] | None = None
    position: Point | None = None
    contour: ContourChoice = DEFAULT_CONTOUR


@dataclass(frozen=True)
class AnnotationRequest:
    """One reader's annotation of a patient, to be recorded: lesions, or "no tumour".

    Parameters
    ----------
    image_id : name of the image in the datastore. None for an image of a session, whose clicks are not recorded.
    cancer_type : one of the configured classes.
    user : name of the reader.
    lesions : one or more points, the primary first. None for "no tumour", whose seed is the middle of the scan.
    background : points without a lesion.
    id : id of the request, or "". A request that is sent twice with the same id is recorded once.
    time : time of the click, ISO 8601; "" for the present time.
    seen : length of the history that the user saw. The answer lists what others have recorded since.
    sure : whether the user confirms points at which the uptake hardly stands out.
    review : whether this is the consensus of a reviewer.
    path : the image's file; None to ask the datastore.
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
    review: bool = False
    path: Path | None = None


@dataclass(frozen=True)
class Recorded(Generic[Answer]):
    """Result of a request.

    Parameters
    ----------
    annotation : the annotation in the log: that of the request, or an equal one that was recorded before.
    known : whether it was recorded before.
    meanwhile : annotations of others since `AnnotationRequest.seen`, which this one supersedes; empty with several
        readers per patient.
    answer : result of the delineation; None if the annotation was recorded before.
    """

    annotation: Annotation
    known: bool = False
    meanwhile: tuple[LogRecord, ...] = ()
    answer: Answer | None = None


def known_by_request(request: AnnotationRequest) -> Known:
    """Make a function that finds the annotation of the same request in an image's history.

    It is the annotation with the request's id. Without an id, it is an equal annotation by the same user that was
    recorded after the history that the user saw. The function raises Conflict if the id is that of another annotation.
    """

    def known(history: Sequence[LogRecord], annotation: Annotation) -> Annotation | None:
        if not annotation.id:
            unseen = (said for said in history[request.seen :] if isinstance(said, Annotation))
            return next((said for said in unseen if said.equals(annotation)), None)
        found = next((said for said in history if isinstance(said, Annotation) and said.id == annotation.id), None)
        if found is not None and not found.equals(annotation):
            raise Conflict(
                f"the id {quoted(annotation.id)} is that of another annotation of this image, {found.cancer_type} by "
                f"{quoted(found.user)} at {found.time}; nothing was recorded: send a new id with every annotation"
            )
        return found

    return known
