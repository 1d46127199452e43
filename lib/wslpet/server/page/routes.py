"""The annotation page and its API: `/wslpet/`, `/wslpet/api/…`.

Each route calls one method of the page, of the background scanner or of the training; clicks take viewers' way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Query, UploadFile
from fastapi import Path as InPath
from fastapi.responses import Response
from monailabel.config import settings
from monailabel.endpoints.user.auth import User
from monailabel.interfaces.utils.app import app_instance
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from wslpet.core.seeds import CONTOUR_METHODS, NO_TUMOUR
from wslpet.server.errors import UnknownName, quoted
from wslpet.server.http.authentication import Administrator, Annotator, AnyUser, require
from wslpet.server.http.routes import who
from wslpet.server.page import training
from wslpet.server.page.annotation import AnnotationPage
from wslpet.server.page.cohort.overview import BackgroundScanner
from wslpet.server.page.review import routes as review_routes
from wslpet.server.page.review.readers import progress
from wslpet.server.page.schemas.annotations import (
    Annotation,
    Click,
    Imported,
    Next,
    NextRequest,
    Patient,
    Save,
    Saved,
    Withdraw,
)
from wslpet.server.page.schemas.cohort import Cohort
from wslpet.server.page.schemas.names import Image, Plane, Reader, Separator
from wslpet.server.page.schemas.status import Configuration, Opened, Status, Strategy
from wslpet.server.page.schemas.training import Decide, Training, TrainOptions
from wslpet.server.page.tables import annotations as table
from wslpet.server.page.tables import routes as table_routes
from wslpet.server.tasks.findings import Delineated, Prediction, Unusual

WEB = Path(__file__).resolve().with_name("static")
# Nothing from another host, nothing inline: a scan's name is text and stays text.
POLICY = "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'self'"

router = APIRouter(prefix="/wslpet/api", tags=["Annotation page"])


SliceCount = Annotated[int, Query(ge=1, le=32, description="fewer come at the volume's end")]
_BINARY: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}
_PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}


class Page(StaticFiles):
    """The page's files, asked for anew each time, so that an update of the server reaches every browser."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update({"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"})
        return response


def routes() -> list[BaseRoute]:
    """The API and the page; the API first, as the page takes all that is left."""
    return [
        *router.routes,
        *table_routes.router.routes,
        *review_routes.router.routes,
        Mount("/wslpet", Page(directory=WEB, html=True), name="wslpet"),
    ]


def _page() -> AnnotationPage:
    page: AnnotationPage = app_instance().page
    return page


def _note_activity() -> None:
    """The background scanner lets whoever works at the page go first."""
    scanner: BackgroundScanner = app_instance().scanner
    scanner.note_activity()


@router.get("/configuration")
def configuration(user: AnyUser) -> Configuration:
    """What the page has to know of the server and of its user."""
    app = app_instance()
    strategies = [Strategy(name=name, description=task.description) for name, task in app._strategies.items()]
    return Configuration(
        version=app.version,
        classes=list(app.settings.classes),
        no_tumour=NO_TUMOUR,
        contour_methods=list(CONTOUR_METHODS),
        strategies=strategies,
        training=app._trainers[training.TASK].config() if app._trainers else {},
        user=user.username if settings.MONAI_LABEL_AUTH_ENABLE else None,
        readers=app.configuration.readers,
        may_annotate=_may(user, settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR),
        may_review=_may(user, settings.MONAI_LABEL_AUTH_ROLE_REVIEWER),
        may_train=bool(app._trainers) and _may(user, settings.MONAI_LABEL_AUTH_ROLE_ADMIN),
    )


@router.post("/status")
def hold_and_status(opened: Opened, reader: Reader) -> Status:
    """As GET, for a page that says which images it has open; other browsers are not offered them."""
    _page().hold(opened.client, opened.open)
    return status(reader)


@router.get("/status")
def status(reader: Reader) -> Status:
    """What changes meanwhile."""
    app, page = app_instance(), _page()
    store = page.datastore
    images, annotated = set(store.list_images()), store.annotated()
    return Status(
        boot=page.boot,
        revision=store.seeds.counts()[1],
        images=len(images),
        annotated=len(images & annotated),
        unreadable=len((images & store.unusable().keys()) - annotated),
        model_version=page.predictions.model_version(),
        training=training.progress(app._trainers.get(training.TASK)),
        trouble=store.trouble,
        remarks=[remark for remark in store.remarks() if remark != store.trouble],
        **progress(store, images, reader),
    )


@router.post("/next")
def next_patient(asked: NextRequest, reader: Reader) -> Next:
    """The next patient without an annotation, by a strategy, that no other browser has open."""
    if asked.strategy not in app_instance()._strategies:
        raise UnknownName(f"strategy {quoted(asked.strategy)} does not exist")
    return _page().next(asked.strategy, asked.client, asked.exclude, reader)


@router.get("/images/{image}")
def patient(image: Image, reader: Reader) -> Patient:
    """A scan's geometry and its annotations."""
    _note_activity()
    return _page().patient(image, reader)


@router.get("/images/{image}/mips", response_class=Response, responses=_BINARY)
def mips(image: Image, user: AnyUser) -> Response:
    """Coronal and sagittal MIP, with the depth of each pixel.

    Four arrays of little-endian uint16, (u, z) each, z running fastest: the coronal MIP (u = x) in SUV steps, the
    voxel y that each pixel came from, the sagittal MIP (u = y), the voxel x that each came from.
    """
    _note_activity()
    return Response(_page().images.mips(image), media_type="application/octet-stream")


@router.get("/images/{image}/mips/{degrees}", response_class=Response, responses=_BINARY)
def turned_mip(image: Image, degrees: Annotated[float, InPath(ge=0, lt=360)], user: AnyUser) -> Response:
    """MIP rotated about z: at 0° the coronal view, at 90° the sagittal view.

    Three arrays of little-endian uint16, (u, z) each: SUV steps, and the voxel x and y that each pixel came from.
    A pixel is as wide as the larger side of a voxel in x and y, and as high as a voxel.
    """
    _note_activity()
    return Response(_page().images.rotated_mip(image, degrees), media_type="application/octet-stream")


@router.get("/images/{image}/slices/{plane}/{index}", response_class=Response, responses=_BINARY)
def slices(image: Image, plane: Plane, index: int, user: AnyUser, count: SliceCount = 1) -> Response:
    """Slices of the RAS volume from one on: little-endian uint16 in SUV steps.

    Axial ones are (x, y), coronal ones (x, z), sagittal ones (y, z); the last axis runs fastest.
    """
    _note_activity()
    return Response(_page().images.slices(image, plane, index, count), media_type="application/octet-stream")


@router.get("/images/{image}/ct/{plane}/{index}", response_class=Response, responses=_BINARY)
def ct_slices(image: Image, plane: Plane, index: int, user: AnyUser, count: SliceCount = 1) -> Response:
    """Slices of the CT of the PET, on the PET's voxels: little-endian int16 in HU, in the order of `slices`."""
    _note_activity()
    return Response(_page().images.ct_slices(image, plane, index, count), media_type="application/octet-stream")


@router.get("/images/{image}/thumbnail", response_class=Response, responses=_PNG)
def thumbnail(image: Image, reader: Reader, marks: bool = False) -> Response:
    """Both MIPs, small, in inverse grey; with `marks`, the clicks and outlines that the reader may see."""
    scanner: BackgroundScanner = app_instance().scanner
    content = scanner.marked_thumbnail(image, reader) if marks else scanner.thumbnail(image)
    return Response(content, media_type="image/png")


@router.post("/images/{image}/delineation")
def delineation(image: Image, click: Click, user: AnyUser) -> Delineated | None:
    """The lesion at a click, which is not recorded; null of "no tumour"."""
    _note_activity()
    return _page().delineate(image, click)


@router.get("/images/{image}/prediction")
def prediction(image: Image, reader: Reader) -> Prediction:
    """What the weights in use say."""
    _note_activity()
    return _page().prediction(image, reader)


@router.get("/images/{image}/unusual")
def unusual(image: Image, user: AnyUser) -> Unusual:
    """How far the uptake of both MIPs lies above what is normal there, by the atlas."""
    _note_activity()
    return _page().images.unusual(image)


@router.get("/images/{image}/annotations")
def history(image: Image, reader: Reader) -> list[Annotation]:
    """Who said what, newest last."""
    _page().datastore.image_path(image)
    return _page().history(image, reader)


@router.post("/images/{image}/annotations", status_code=201)
def annotate(image: Image, save: Save, user: Annotator) -> Saved:
    """Record a seed and a cancer type: on disk when this is answered, superseding what was there."""
    _note_activity()
    if save.review:
        require(user, settings.MONAI_LABEL_AUTH_ROLE_REVIEWER)
    return _page().annotate(image, save, who(user, save.annotator))


@router.post("/images/{image}/annotations/withdraw")
def withdraw(image: Image, what: Withdraw, user: Annotator) -> list[Annotation]:
    """Take back the newest annotation, so that the one before it counts again; or all, and the final label.

    The history keeps them.
    """
    return _page().withdraw(image, what, who(user, what.annotator))


@router.get("/cohort", response_model=Cohort)
def cohort(reader: Reader) -> Response:
    """Every image with its state."""
    cohort: Cohort = app_instance().scanner.cohort(reader)
    # Not checked a second time: FastAPI would build each of thousands of rows anew.
    return Response(cohort.model_dump_json(), media_type="application/json")


@router.get("/annotations.csv", response_class=Response, responses=_CSV)
def export(reader: Reader, history: bool = False, separator: Separator = ",") -> Response:
    """The annotation that counts of every image, or all that was ever said."""
    name = "wslpet-history.csv" if history else "wslpet-annotations.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    content = table.exported(_page(), history, reader, separator)
    return Response(content, media_type="text/csv; charset=utf-8", headers=headers)


@router.post("/annotations.csv")
def import_table(file: Annotated[UploadFile, File()], user: Annotator, annotator: str = "") -> Imported:
    """Record the rows of a table: image, cancer_type, x, y, z (mm RAS), user, time."""
    return table.imported(_page(), file.file.read(table.MAX_BYTES + 1), who(user, annotator))


@router.get("/training")
def show_training(user: AnyUser) -> Training:
    """The training that runs, and those before it, epoch by epoch."""
    return training.training(app_instance())


@router.post("/training", status_code=202)
def start_training(options: TrainOptions, user: Administrator) -> Training:
    """Learn from all annotations."""
    training.start(app_instance(), options)
    return training.training(app_instance())


@router.post("/training/decision")
def decide_training(decision: Decide, user: Administrator) -> Training:
    """Use a training's weights, or those before, by a person's decision; it is recorded with who and when."""
    training.decide(app_instance(), decision.run, decision.use, who(user, decision.annotator))
    return training.training(app_instance())


@router.delete("/training")
def stop_training(user: Administrator) -> Training:
    """Stop learning; the weights in use stay."""
    training.stop()
    return training.training(app_instance())


def _may(user: User, role: str) -> bool:
    return not settings.MONAI_LABEL_AUTH_ENABLE or role in user.roles
