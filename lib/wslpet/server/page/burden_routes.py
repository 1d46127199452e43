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
from wslpet.server.http.authentication import AnyUser
from wslpet.server.page.burden import ENDINGS, MEDIA_TYPES, CohortBurden, Form
from wslpet.server.page.schemas import Image
from wslpet.server.storage.image_files import flat_name

router = APIRouter(prefix="/wslpet/api", tags=["Annotation page"])
_FILE: dict[int | str, dict[str, Any]] = {200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}}}
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}


@router.get("/lesions.csv", response_class=StreamingResponse, responses=_CSV)
def lesions_table(user: AnyUser) -> StreamingResponse:
    """One row for each lesion of every annotated image; what was not measured yet is measured meanwhile."""
    rows = (row for record in _burden().records() for row in lesion_rows(record))
    return _streamed("wslpet-lesions.csv", csv_lines(LESION_COLUMNS, rows))


@router.get("/patients.csv", response_class=StreamingResponse, responses=_CSV)
def patients_table(user: AnyUser) -> StreamingResponse:
    """One row for each image: its tumour burden; its numbers are empty where there is no annotation."""
    return _streamed("wslpet-patients.csv", csv_lines(PATIENT_COLUMNS, map(patient_row, _burden().records())))


@router.get("/images/{image}/export", response_class=Response, responses=_FILE)
def export(image: Image, form: Form, user: AnyUser) -> Response:
    """The lesions of the annotation that counts, as a file.

    "csv" is the table of lesions and "nifti" a mask whose values are the lesions' numbers. "seg", "rtstruct" and "sr"
    are DICOM objects, of images that are DICOM series; the SR refers to the SEG.
    """
    content = _burden().export(image, form)
    name = quote(flat_name(image, ENDINGS[form]), safe="")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    return Response(content, media_type=MEDIA_TYPES[form], headers=headers)


def _burden() -> CohortBurden:
    burden: CohortBurden = app_instance().burden
    return burden


def _streamed(name: str, lines: Iterator[str]) -> StreamingResponse:
    """A table, each row as soon as it is there; Excel takes it for UTF-8 where it has to."""
    first = "" if _burden().is_ascii() else BYTE_ORDER_MARK
    content = (line.encode() for line in chain([first], lines))
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(content, media_type="text/csv; charset=utf-8", headers=headers)
