"""The page's API of the tumour burden: tables of the cohort, and the lesions of one image as a file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse
from monailabel.interfaces.utils.app import app_instance

from wslpet.analysis.burden.tables import (
    BYTE_ORDER_MARK,
    LESION_COLUMNS,
    PATIENT_COLUMNS,
    csv_lines,
    lesion_rows,
    patient_row,
)
from wslpet.server.page.review.readers import READER_COLUMNS, reader_cells
from wslpet.server.page.schemas import Image, Reader
from wslpet.server.page.tables.burden import ENDINGS, MEDIA_TYPES, CohortBurden, Form
from wslpet.server.storage.annotations.readings import ImageReadings
from wslpet.server.storage.image_files import flat_name

router = APIRouter(prefix="/wslpet/api", tags=["Annotation page"])
_FILE: dict[int | str, dict[str, Any]] = {200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}}}
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}


@router.get("/lesions.csv", response_class=StreamingResponse, responses=_CSV)
def lesions_table(reader: Reader) -> StreamingResponse:
    """One row for each lesion of every annotated image; what was not measured yet is measured meanwhile."""
    rows = (row for record in _burden().records(reader) for row in lesion_rows(record))
    return streamed("wslpet-lesions.csv", csv_lines(LESION_COLUMNS, rows))


@router.get("/patients.csv", response_class=StreamingResponse, responses=_CSV)
def patients_table(reader: Reader) -> StreamingResponse:
    """One row for each image: its tumour burden, its readers and how they agree.

    Its numbers are empty where there is no annotation.
    """
    return streamed("wslpet-patients.csv", csv_lines((*PATIENT_COLUMNS, *READER_COLUMNS), _patient_rows(reader)))


@router.get("/images/{image}/export", response_class=Response, responses=_FILE)
def export(image: Image, form: Form, reader: Reader) -> Response:
    """The lesions of the annotation that counts, as a file.

    "csv" is the table of lesions and "nifti" a mask whose values are the lesions' numbers. "seg", "rtstruct" and "sr"
    are DICOM objects, of images that are DICOM series; the SR refers to the SEG.
    """
    content = _burden().export(image, form, reader)
    name = quote(flat_name(image, ENDINGS[form]), safe="")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    return Response(content, media_type=MEDIA_TYPES[form], headers=headers)


def _patient_rows(reader: str) -> Iterator[dict[str, str]]:
    readings, agreement = app_instance().page.datastore.readings, app_instance().agreement
    for record in _burden().records(reader):
        here, image = readings.of(record.image), record.image
        remarks = readings.remarks(image, reader)
        hidden = here.hidden_from(reader)
        pairs = [] if hidden or record.state == "failed" else agreement.tried(image)
        shown = ImageReadings(here.needed) if hidden else here
        yield {**patient_row(record), **reader_cells(shown, remarks, pairs)}


def _burden() -> CohortBurden:
    burden: CohortBurden = app_instance().burden
    return burden


def streamed(name: str, lines: Iterator[str]) -> StreamingResponse:
    """A table, each row as soon as it is there; Excel takes it for UTF-8 where it has to."""
    first = "" if _burden().is_ascii() else BYTE_ORDER_MARK
    content = (line.encode() for line in chain([first], lines))
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(content, media_type="text/csv; charset=utf-8", headers=headers)
