"""The page's API of several readers: all readings of a patient, agreement, remarks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from monailabel.interfaces.utils.app import app_instance

from wslpet.analysis.burden.readers import PairAgreement
from wslpet.analysis.burden.tables import DIGITS, FACTS, SCAN_COLUMNS, csv_lines
from wslpet.io.tables import guarded
from wslpet.server.http.authentication import Annotator
from wslpet.server.http.routes import who
from wslpet.server.page.review.agreement import ReaderAgreement
from wslpet.server.page.review.schemas import (
    Agreement,
    ImageReview,
    PairOfReaders,
    ReadersOfCohort,
    Reading,
)
from wslpet.server.page.schemas.annotations import Annotation, RemarkRequest
from wslpet.server.page.schemas.names import Image, Reader, Separator
from wslpet.server.page.tables.routes import streamed

router = APIRouter(prefix="/wslpet/api", tags=["Annotation page"])
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}
_PAIR = ("reader_1", "reader_2", "type_1", "type_2", "lesions_1", "lesions_2", "matched", "dice")
_TMTV = ("tmtv_1_ml", "tmtv_2_ml", "tmtv_difference_ml")
AGREEMENT_COLUMNS = (*SCAN_COLUMNS, *_PAIR, *_TMTV)
_TEXTS = frozenset({*SCAN_COLUMNS, *_PAIR[:4]})


@router.get("/images/{image}/readings")
def readings(image: Image, reader: Reader) -> ImageReview:
    """All readings of an image with their lesions; 409 while they are hidden from who asks."""
    page, app = app_instance().page, app_instance()
    store = page.datastore
    store.image_path(image)
    store.readings.check_open(image, reader)
    here = store.readings.of(image)
    seen = {id(said): page.entry(said) for said in (*here.readings, here.consensus) if said is not None}
    return ImageReview(
        readings=[Reading(annotation=seen[id(said)], lesions=page.lesions(image, said)) for said in here.readings],
        consensus=seen.get(id(here.consensus)),
        agreement=[PairOfReaders.of(pair) for pair in app.agreement.measured(image)],
    )


@router.post("/images/{image}/remarks", status_code=201)
def remark(image: Image, said: RemarkRequest, user: Annotator) -> list[Annotation]:
    """Record what a reader notes of an image; returns the history that this reader may see."""
    history: list[Annotation] = app_instance().page.remark(image, said, who(user, said.annotator))
    return history


@router.get("/agreement")
def agreement(reader: Reader) -> Agreement:
    """Agreement of each two readers over the images that all have read."""
    found: ReaderAgreement = app_instance().agreement
    pairs, pending = found.cohort()
    needed = app_instance().page.datastore.readings.needed
    return Agreement(needed=needed, pairs=[ReadersOfCohort.of(pair) for pair in pairs], pending=pending)


@router.get("/agreement.csv", response_class=StreamingResponse, responses=_CSV)
def agreement_table(reader: Reader, separator: Separator = ",") -> StreamingResponse:
    """One row for each image and two readers of it, of the images that all have read."""
    lines = csv_lines(AGREEMENT_COLUMNS, _rows(), separator, _TEXTS)
    return streamed("wslpet-agreement.csv", lines, separator)


def _rows() -> Iterator[dict[str, str]]:
    store, found = app_instance().page.datastore, app_instance().agreement
    for image, pair in found.table():
        facts = store.facts(image)
        scan = {"image": guarded(image), **{name: guarded(facts.get(name, "")) for name in FACTS}}
        yield {**scan, **_cells(pair)}


def _cells(pair: PairAgreement) -> dict[str, str]:
    counted: tuple[str | float, ...] = (*pair.readers, *pair.types, *pair.lesions, pair.matched, pair.dice)
    values: tuple[str | float, ...] = (*counted, *pair.tmtv_ml, pair.tmtv_difference_ml)
    return {name: _text(value) for name, value in zip((*_PAIR, *_TMTV), values, strict=True)}


def _text(value: str | float) -> str:
    if isinstance(value, str):
        return guarded(value)
    return str(value) if isinstance(value, int) else f"{value:.{DIGITS}g}"
