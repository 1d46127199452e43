"""The page's API of the tumour burden: tables of the cohort, and the lesions of one image as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from monailabel.interfaces.utils.app import app_instance

from wslpet.analysis.burden.archive import zipped
from wslpet.analysis.burden.tables import (
    LESION_COLUMNS,
    PATIENT_COLUMNS,
    TEXT_COLUMNS,
    csv_lines,
    lesion_rows,
    needs_mark,
    patient_row,
)
from wslpet.io.tables import BYTE_ORDER_MARK
from wslpet.server.http.authentication import AnyUser
from wslpet.server.page.review.readers import READER_COLUMNS, READER_TEXTS, reader_cells
from wslpet.server.page.schemas.names import Image, Reader, Separator
from wslpet.server.page.tables.burden import ENDINGS, MEDIA_TYPES, CohortBurden, Form
from wslpet.server.page.tables.radiomics import RadiomicsJob, RadiomicsProgress, columns
from wslpet.server.page.tables.schemas import RadiomicsState
from wslpet.server.storage.annotations.readings import ImageReadings
from wslpet.server.storage.images.image_files import flat_name

router = APIRouter(prefix="/wslpet/api", tags=["Annotation page"])
_FILE: dict[int | str, dict[str, Any]] = {200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}}}
_ZIP: dict[int | str, dict[str, Any]] = {200: {"content": {"application/zip": {}}}}
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}


@router.get("/lesions.csv", response_class=StreamingResponse, responses=_CSV)
def lesions_table(reader: Reader, separator: Separator = ",") -> StreamingResponse:
    """One row for each lesion of every annotated image; what was not measured yet is measured meanwhile."""
    rows = (row for record in _burden().records(reader) for row in lesion_rows(record))
    return streamed("wslpet-lesions.csv", csv_lines(LESION_COLUMNS, rows, separator), separator)


@router.get("/patients.csv", response_class=StreamingResponse, responses=_CSV)
def patients_table(reader: Reader, separator: Separator = ",") -> StreamingResponse:
    """One row for each image: its tumour burden, its readers and how they agree.

    Its numbers are empty where there is no annotation.
    """
    columns = (*PATIENT_COLUMNS, *READER_COLUMNS)
    lines = csv_lines(columns, _patient_rows(reader), separator, TEXT_COLUMNS | READER_TEXTS)
    return streamed("wslpet-patients.csv", lines, separator)


@router.get("/masks.zip", response_class=StreamingResponse, responses=_ZIP)
def masks(
    reader: Reader, form: Annotated[list[Literal["nifti", "seg", "rtstruct"]] | None, Query()] = None
) -> StreamingResponse:
    """The masks of all annotated images; what cannot be exported is listed in `left-out.txt` of the archive.

    NIfTI of every image; SEG and RTSTRUCT of those that are DICOM series, too.
    """
    pieces = zipped(_mask_files(form or ["nifti", "seg", "rtstruct"], reader))
    headers = {"Content-Disposition": 'attachment; filename="wslpet-masks.zip"'}
    return StreamingResponse(pieces, media_type="application/zip", headers=headers)


@router.get("/radiomics")
def radiomics(user: AnyUser) -> RadiomicsState:
    """How far the job is that measures the features of all annotated images."""
    return _state(_job().progress)


@router.post("/radiomics", status_code=202)
def start_radiomics(user: AnyUser) -> RadiomicsState:
    """Measure the features of all lesions in the background; 409 while it runs."""
    return _state(_job().start())


@router.delete("/radiomics")
def stop_radiomics(user: AnyUser) -> RadiomicsState:
    """Stop after the image that is measured now; what was measured is kept for the next time."""
    return _state(_job().stop())


@router.get("/radiomics.csv", response_class=StreamingResponse, responses=_CSV)
def radiomics_table(reader: Reader, separator: Separator = ",") -> StreamingResponse:
    """One row for each lesion with its features, of the job that is done; 409 before."""
    rows = list(_job().rows(reader))
    return streamed("wslpet-radiomics.csv", csv_lines(columns(), rows, separator), separator)


@router.get("/images/{image}/export", response_class=Response, responses=_FILE)
def export(image: Image, form: Form, reader: Reader, separator: Separator = ",") -> Response:
    """The lesions of the annotation that counts, as a file.

    "csv" is the table of lesions, "nifti" a mask whose values are the lesions' numbers, "figures" a PDF with MIPs,
    table and slices through each lesion, "png" the same as one picture. "seg", "rtstruct" and "sr" are DICOM objects,
    of images that are DICOM series; the SR refers to the SEG.
    """
    content = _burden().export(image, form, reader, separator)
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


def _mask_files(forms: Sequence[Form], reader: str) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Name and content of each file of the archive of masks; without images that are hidden from the reader."""
    burden, store = _burden(), app_instance().page.datastore
    for image in burden.annotated():
        if store.readings.of(image).hidden_from(reader):
            continue
        for form in forms:
            if form == "nifti" or store.is_series(image):
                yield flat_name(image, ENDINGS[form]), partial(burden.export, image, form, reader)


def _job() -> RadiomicsJob:
    job: RadiomicsJob = app_instance().radiomics
    return job


def _state(progress: RadiomicsProgress) -> RadiomicsState:
    return RadiomicsState(**asdict(progress))


def _burden() -> CohortBurden:
    burden: CohortBurden = app_instance().burden
    return burden


def streamed(name: str, lines: Iterator[str], separator: str) -> StreamingResponse:
    """A table, each row as soon as it is there; Excel takes it for UTF-8 where it has to."""
    first = BYTE_ORDER_MARK if needs_mark(separator, _burden().is_ascii()) else ""
    content = (line.encode() for line in chain([first], lines))
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(content, media_type="text/csv; charset=utf-8", headers=headers)
