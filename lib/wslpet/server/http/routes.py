"""Routes for viewers: inference, uploads, training, active learning, labels, and the relay to the PACS.

They replace MONAI Label's routes of the same paths and roles, and most of them call these after validation. MONAI Label
starts a training before it checks that one is possible, runs an inference on the thread of the event loop, leaves a
refused upload in the temporary folder, and lets the `params` of a request replace its image by any file. Here, long
work runs in threads, so that other requests are answered meanwhile.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, BackgroundTasks, Depends, File, Form, Request, UploadFile
from fastapi.responses import Response
from monailabel.config import settings
from monailabel.endpoints import activelearning as monailabel_activelearning
from monailabel.endpoints import datastore as monailabel_datastore
from monailabel.endpoints import infer as monailabel_infer
from monailabel.endpoints import train as monailabel_train
from monailabel.endpoints.user.auth import User
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferType
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import get_mime_type
from requests_toolbelt import MultipartEncoder
from starlette.concurrency import run_in_threadpool

from wslpet.core.errors import InputError
from wslpet.server.errors import UnknownName, quoted
from wslpet.server.http.authentication import Administrator, Annotator, AnyUser, require
from wslpet.server.http.fifo_semaphore import processors
from wslpet.server.http.request_models import SampleOptions, parsed, parsed_infer
from wslpet.server.series.sources.dicomweb import DicomWeb
from wslpet.server.tasks.infer import extension_of

logger = logging.getLogger(__name__)

Uploaded = Annotated[UploadFile, File()]

# include_in_schema: MONAI Label's routes of the same paths describe them already.
# Of each lesion in the header that OHIF's addition reads, and of how many lesions.
_SUMMARY = ("cancer_type", "volume_ml", "suv_max", "tlg")
_MOST_LESIONS = 6
router = APIRouter(include_in_schema=False)
# `processors` limits the number of inferences. They do not use the thread pool of the other requests, since all of its
# threads may be waiting for a place of `processors` that an inference has.
_inference_threads = CapacityLimiter(math.inf)
# Parts of a request that are not in its params; a param with such a name would replace them.
_ADDRESSED = ("image", "model", "session", "session_id", "image_id", "image_path", "user")


@router.post("/infer/{model}")
async def infer(
    model: str,
    user: AnyUser,
    image: str = "",
    session_id: str = "",
    params: str = Form("{}"),
    file: Annotated[UploadFile | None, File()] = None,
    label: Annotated[UploadFile | None, File()] = None,
    output: monailabel_infer.ResultType | None = None,
) -> Response:
    """Infer on an image of the datastore, or of a session."""
    if file is not None or label is not None:
        raise InputError("a file came with the infer request; upload it first with PUT /datastore/image")
    request = partial(_infer, model, user, image, session_id, params, output)
    # While a request waits for a processor it occupies no thread, so that quick requests find a free one.
    async with processors:
        answer = await to_thread.run_sync(partial(request, fetch=False), limiter=_inference_threads)
    if answer is not None:
        return answer
    # The image is fetched from the PACS without a place of `processors`, so that other requests can compute meanwhile.
    await run_in_threadpool(app_instance().datastore().image_path, image)
    async with processors:
        fetched = await to_thread.run_sync(request, limiter=_inference_threads)
    assert fetched is not None
    return fetched


def _infer(
    model: str,
    user: User,
    image: str,
    session_id: str,
    params: str,
    output: monailabel_infer.ResultType | None,
    fetch: bool = True,
) -> Response | None:
    """Run the inference. Without `fetch`, it returns None and does nothing if the image must be fetched first."""
    if model not in app_instance()._infers:
        raise UnknownName(f"infer task {quoted(model)} does not exist; GET /info/ lists them")
    if app_instance()._infers[model].type == InferType.DEEPEDIT:
        require(user, settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR)  # a click is recorded
    if not image and not session_id:
        raise InputError("no image named; ask with ?image=ID of one that GET /datastore/?output=all lists")
    fields = _object("params", params)
    for name, addressed in {"image": image, "model": model}.items():
        if fields.get(name, addressed) != addressed:
            raise InputError(f"params name another {name} ({quoted(fields[name])}); name it in the address only")
    for name in _ADDRESSED:
        fields.pop(name, None)
    parsed_infer(fields, app_instance().settings.classes)
    fields["user"] = who(user, fields.get("client_id"))
    app, request = app_instance(), {"model": model, "image": image, **fields}
    session = app.sessions().get_session(session_id) if session_id else None
    if session:
        request |= {"image": session.image, "session": session.to_json()}
    elif not fetch and not app.datastore().is_at_hand(image):
        return None
    if output == monailabel_infer.ResultType.dicom_seg:
        return _dicom_seg(request)
    if output == monailabel_infer.ResultType.json:
        request["result_write_to_file"] = False
    mask, result = app.answer(request)
    return _answer(mask, result, extension_of(request), output)


def _answer(
    mask: bytes | None, result: dict[str, Any], extension: str, output: monailabel_infer.ResultType | None
) -> Response:
    """Build the answer as MONAI Label's `send_response` does, but from the mask in memory instead of a file."""
    result_json = json.dumps(result)
    if mask is None:
        return Response(result_json, media_type="application/json")
    name = f"wslpet-{secrets.token_hex(8)}{extension}"  # a viewer may keep it by that name
    if output == monailabel_infer.ResultType.image:
        return _file(mask, get_mime_type(name), name, {"Wslpet-Lesions": _summary(result)})
    fields = {"params": (None, result_json, "application/json"), "image": (name, mask, get_mime_type(name))}
    both = MultipartEncoder(fields=fields)
    return Response(both.to_string(), media_type=both.content_type)


@router.put("/datastore/")
@router.put("/datastore/image")
def add_image(
    file: Uploaded,
    user: Annotator,
    image: str | None = None,
    params: str = Form("{}"),
) -> Any:
    """Upload an image; the datastore checks its name and content."""
    fields = _object("params", params)
    with _cleaned_up() as cleaning:
        return monailabel_datastore.add_image(
            cleaning, image, json.dumps(fields), file, who(user, fields.get("client_id"))
        )


@router.put("/datastore/label")
def save_label(
    image: str,
    label: Uploaded,
    user: Annotator,
    params: str = Form("{}"),
    tag: str = DefaultLabelTag.FINAL.value,
) -> Any:
    """Submit a label; the datastore checks tag and mask, and records a final label as an annotation, too."""
    fields = _object("params", params)
    fields["user"] = who(user, fields.get("client_id"))
    with _cleaned_up() as cleaning:
        return monailabel_datastore.save_label(cleaning, image, json.dumps(fields), tag, label, fields["user"])


@router.post("/train/")
async def train_all(user: Administrator, params: dict[str, Any] | None = None, run_sync: bool = False) -> Any:
    """Start a training as OHIF requests it: the options of a train task are in `params` under the task's name."""
    requests = {model: _train_options(model, params or {}) for model in app_instance()._trainers}
    for model, request in requests.items():
        app_instance().check_training(model, request)
    return {model: monailabel_train.run_model(model, request, run_sync) for model, request in requests.items()}


@router.post("/train/{model}")
async def train(
    model: str,
    user: Administrator,
    params: dict[str, Any] | None = None,
    run_sync: bool = False,
    enqueue: bool = False,
) -> Any:
    """Start a training; a request that cannot be trained is refused here, not only in the log of the process."""
    app_instance().check_training(model, params or {})
    return monailabel_train.run_model(model, {**(params or {}), "model": model}, run_sync, enqueue)


@router.post("/activelearning/{strategy}")
def next_sample(
    strategy: str,
    user: AnyUser,
    params: dict[str, Any] | None = None,
) -> Any:
    """Send the next image to annotate: without an annotation (by this reader), and not open at another reader's."""
    parsed(SampleOptions, "activelearning", params or {})
    if strategy not in app_instance()._strategies:
        raise UnknownName(f"strategy {quoted(strategy)} does not exist; GET /info/ lists them")
    reader = who(user, (params or {}).get("client_id"))
    asked = {**(params or {}), "strategy": strategy, "reader": reader}

    def sample(exclude: list[str]) -> Any:
        return monailabel_activelearning.sample(strategy, {**asked, "exclude": exclude}, user.username)

    return app_instance().page.next_in_viewer(reader, (params or {}).get("exclude") or [], sample)


@router.get("/datastore/label")
def label(label: str, tag: str, user: AnyUser) -> Any:
    """Send a label's file, unless the readings of this patient are hidden from the reader who asks."""
    reader = user.username if settings.MONAI_LABEL_AUTH_ENABLE else ""
    app_instance().datastore().readings.check_open(label, reader)
    return monailabel_datastore.download_label(label, tag)


async def _body(request: Request) -> bytes | None:
    return await request.body() if request.method == "POST" else None


# OHIF reads the PACS through this route. MONAI Label's own has no time limit, and blocks all requests while it waits.
@router.api_route("/proxy/dicom/{address:path}", methods=["GET", "POST"])
def relay(
    request: Request,
    address: str,
    user: AnyUser,
    body: Annotated[bytes | None, Depends(_body)],
) -> Response:
    """Pass a viewer's DICOMweb request on to the PACS, with the server's login."""
    pacs = app_instance().datastore().source
    if not isinstance(pacs, DicomWeb):
        raise UnknownName("the studies are a folder, not a PACS; viewers of DICOMweb need a PACS")
    service, _, path = address.partition("/")
    if service not in ("qido", "wado", "stow"):
        service, path = "", address
    if body is not None:
        require(user, settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR)  # it stores
    content_type = request.headers.get("Content-Type", "application/octet-stream")
    answer = pacs.relay(service, path, request.url.query, body, content_type)
    return Response(answer.content, answer.status_code, media_type=answer.headers.get("Content-Type"))


def _dicom_seg(request: dict[str, Any]) -> Response:
    """Run the inference, and send the mask as DICOM SEG."""
    path = app_instance().infer_dicom_seg(request)
    try:
        return _file(path.read_bytes(), "application/dicom", f"{request['image']}.seg.dcm")
    finally:
        path.unlink()


def _file(content: bytes, kind: str, name: str, headers: Mapping[str, str] | None = None) -> Response:
    named = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=kind, headers={**named, **(headers or {})})


def _summary(result: Mapping[str, Any]) -> str:
    """The first lesions of a result for a header, since an answer that is a mask has no numbers: JSON in ASCII."""
    lesions = [
        {"position": one["centroid"]["position"], **{name: one[name] for name in _SUMMARY}} for one in result["lesions"]
    ]
    return json.dumps({"lesions": lesions[:_MOST_LESIONS], "count": len(lesions), "mtv_ml": result["mtv_ml"]})


def _train_options(model: str, params: dict[str, Any]) -> dict[str, Any]:
    own = params.get(model, {})
    if not isinstance(own, dict):
        raise InputError(f"options of train task {model} are {quoted(own)}; send a JSON object")
    shared = {key: value for key, value in params.items() if key not in app_instance()._trainers}
    return {**shared, **own, "model": model}


def _object(what: str, text: str) -> dict[str, Any]:
    content = json.loads(text or "{}")
    if not isinstance(content, dict):
        raise InputError(f"{what} {quoted(text)} is not a JSON object")
    return content


@contextmanager
def _cleaned_up() -> Iterator[BackgroundTasks]:
    """Context manager: run MONAI Label's background tasks at once. FastAPI would skip them for a refused request."""
    tasks = BackgroundTasks()
    try:
        yield tasks
    finally:
        for task in tasks.tasks:
            task.func(*task.args, **task.kwargs)


def who(user: User, name: Any) -> str:
    """Name of the user: that of the account or, without accounts, the name that the viewer sends."""
    return str((user.username if settings.MONAI_LABEL_AUTH_ENABLE else name) or "unknown")[:100]
