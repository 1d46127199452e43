"""MONAI Label's remaining routes, with validation; paths and answers are the same.

The routes for inference, uploads, training and active learning are in `routes`; `closed_routes` lists which of the
routes here are closed by default. Weights, logs and `/reload` need the role admin. Names and files of sessions are
checked. Bad input is refused with a sentence, where MONAI Label answers with a stack trace.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, File, Form, HTTPException, Query, UploadFile
from fastapi.responses import FileResponse, Response
from fastapi.security import OAuth2PasswordRequestForm
from monailabel.config import settings
from monailabel.endpoints import batch_infer as monailabel_batch
from monailabel.endpoints import datastore as monailabel_datastore
from monailabel.endpoints import logs as monailabel_logs
from monailabel.endpoints import ohif as monailabel_ohif
from monailabel.endpoints import scoring as monailabel_scoring
from monailabel.endpoints import session as monailabel_session
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType
from monailabel.interfaces.utils.app import app_instance, clear_cache
from monailabel.utils.others.generic import file_checksum

from wslpet.core.errors import InputError
from wslpet.io.readers import read_volume
from wslpet.method.network.checkpoint import load_model
from wslpet.server.errors import UnknownName, quoted
from wslpet.server.http import authentication
from wslpet.server.http.authentication import Administrator, Annotator, AnyUser
from wslpet.server.http.request_models import MAX_INFO_BYTES, BatchOptions, ScoreOptions, parsed
from wslpet.server.tasks.infer import EXTENSIONS

# What OHIF lacks: this server's address, and the lesion and its numbers after an answer.
OHIF_ADDITION = Path(__file__).with_name("ohif.js")

router = APIRouter(include_in_schema=False)

_SESSION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SAFE_FILE = re.compile(r"\w[\w.+ ()=@,-]{0,199}")
_CHECKSUM = re.compile(r"(SHA256|SHA512|MD5):[0-9a-f]+|[0-9a-f]+")
_LOG_LINES = 10_000


@router.post("/reload")
def reload(user: Administrator) -> dict[str, Any]:
    """Reload the app at the next request."""
    clear_cache()
    return {}


@router.post("/auth/token")
def token(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, Any]:
    """Send a token for a name and a password. This is the only route that needs no token."""
    if not settings.MONAI_LABEL_AUTH_ENABLE:
        raise UnknownName("this server has no accounts; nobody needs to log in")
    return authentication.log_in(form.username, form.password)


@router.get("/model/{model}")
def download_model(model: str, user: Administrator) -> FileResponse:
    """Send the weights in use."""
    path = app_instance().weights.path() if model in app_instance()._infers else None
    if path is None:
        raise UnknownName(f"model {quoted(model)} does not exist, or has no weights yet; train, and it has")
    return FileResponse(path, media_type="application/octet-stream", filename=f"{model}{path.suffix}")


@router.put("/model/{model}")
def publish_model(model: str, file: Annotated[UploadFile, File()], user: Administrator) -> dict[str, Any]:
    """Publish uploaded weights, if they are for the configured cancer types. Only tensors are unpickled."""
    instance = app_instance()
    if model not in instance._infers:
        raise UnknownName(f"model {quoted(model)} does not exist; GET /info/ lists them")
    with tempfile.TemporaryDirectory(prefix="wslpet-") as scratch:
        received = Path(scratch) / "received.pt"
        with open(received, "wb") as target:
            shutil.copyfileobj(file.file, target)
        sent = load_model(received)
    if sent.settings.classes != instance.settings.classes:
        raise InputError(
            f"the weights know {', '.join(sent.settings.classes)}, this server {', '.join(instance.settings.classes)}; "
            "start it with --conf types for these weights"
        )
    instance.weights.history.publish(sent)
    published = instance.weights.published
    return {"checksum": file_checksum(str(published)), "modified_time": int(published.stat().st_mtime)}


@router.delete("/model/{model}")
def withdraw_model(model: str, user: Administrator) -> dict[str, Any]:
    """Withdraw the published weights, so that the shipped weights are used again; the file is kept."""
    if model not in app_instance()._infers:
        raise UnknownName(f"model {quoted(model)} does not exist; GET /info/ lists them")
    app_instance().weights.history.withdraw()
    return {}


@router.put("/session/")
def create_session(
    user: AnyUser,
    files: Annotated[list[UploadFile], File()],
    uncompress: bool = False,
    expiry: Annotated[int, Query(ge=0, le=365 * 24 * 3600)] = 0,
) -> Any:
    """Open a session with a scan: one image file, or the files of one DICOM series; file names must not be paths."""
    if uncompress:
        raise InputError("uncompress=true is not supported; send the files of the series one by one")
    for file in files:
        name = file.filename or ""
        if not _SAFE_FILE.fullmatch(name):
            raise InputError(f"file {quoted(name)} is not a safe name; use letters, digits, '.', '_' and '-'")
    if len(files) == 1 and not str(files[0].filename).lower().endswith(EXTENSIONS):
        raise InputError(f"file {quoted(files[0].filename)} is none of {', '.join(EXTENSIONS)}; convert it")
    cleaning = BackgroundTasks()
    try:
        created = monailabel_session.create_session(cleaning, False, expiry, files)
        read_volume(created["session_info"]["image"])
    except InputError:
        monailabel_session.remove_session(created["session_id"])
        raise
    finally:
        for task in cleaning.tasks:
            task.func(*task.args, **task.kwargs)
    return created


@router.get("/session/{session_id}")
def get_session(session_id: str, user: AnyUser, update_ts: bool = False, image: bool = False) -> Any:
    """Describe a session, or send its image. A GET does not prolong the session; an inference does."""
    _check_session(session_id)
    if update_ts:
        raise InputError("update_ts=true is not supported: reading a session does not prolong it; an inference does")
    info = monailabel_session.get_session(session_id)
    if not image:
        return info
    if Path(info["image"]).is_dir():
        raise InputError("the session is a DICOM series of many files; only an image of one file can be downloaded")
    return monailabel_session.get_session(session_id, image=True)


@router.delete("/session/{session_id}")
def remove_session(session_id: str, user: AnyUser) -> Any:
    """End a session and remove its image."""
    _check_session(session_id)
    return monailabel_session.remove_session(session_id)


def _check_session(session_id: str) -> None:
    if not _SESSION.fullmatch(session_id):
        raise UnknownName(f"session {quoted(session_id)} does not exist; open one with PUT /session/")


@router.head("/datastore/image")
def check_image(image: str, user: AnyUser, check_sum: str | None = None) -> Any:
    """Check that an image exists and, if a checksum is given, that it has this checksum."""
    app_instance().datastore().image_path(image)
    if check_sum and not _CHECKSUM.fullmatch(check_sum):
        raise InputError(f"check_sum {quoted(check_sum)} is no checksum; send SHA256:, SHA512: or MD5: and its digits")
    return monailabel_datastore.download_image(image, check_only=True, check_sum=check_sum)


@router.put("/datastore/image/info")
def put_image_info(image: str, user: Annotator, info: Annotated[str, Form()] = "{}") -> Any:
    """Change the stored information on an image."""
    app_instance().datastore().image_path(image)
    return app_instance().datastore().update_image_info(image, {**_info(info), "user": user.username})


@router.put("/datastore/label/info")
def put_label_info(label: str, tag: str, user: Annotator, info: Annotated[str, Form()] = "{}") -> Any:
    """Change the stored information on a label."""
    app_instance().datastore().image_path(label)
    return app_instance().datastore().update_label_info(label, tag, {**_info(info), "user": user.username})


@router.put("/datastore/updatelabelinfo")
def put_label_info_as_before(label: str, tag: str, user: Annotator, params: Annotated[str, Form()] = "{}") -> Any:
    """Change the stored information on a label, at the path of earlier versions of MONAI Label."""
    return put_label_info(label, tag, user, params)


@router.get("/datastore/dataset")
def download_dataset(
    background_tasks: BackgroundTasks,
    user: Annotator,
    limit_cases: Annotated[int | None, Query(ge=1)] = None,
) -> FileResponse:
    """Send an archive of images and labels; the temporary file is removed afterwards."""
    path = Path(app_instance().datastore().get_dataset_archive(limit_cases))
    background_tasks.add_task(path.unlink, missing_ok=True)
    return FileResponse(path, media_type="application/zip", filename="dataset.zip")


@router.post("/batch/infer/{model}")
def batch_infer(
    model: str,
    user: Administrator,
    params: dict[str, Any] | None = None,
    images: BatchInferImageType = BatchInferImageType.IMAGES_ALL,
    run_sync: bool = False,
) -> Any:
    """Find lesions in many images, and save the labels."""
    if model not in app_instance()._infers:
        raise UnknownName(f"infer task {quoted(model)} does not exist; GET /info/ lists them")
    parsed(BatchOptions, "batch infer", params or {})
    return monailabel_batch.run(model, images, {**(params or {}), "model": model}, run_sync)


@router.post("/infer/wsi/{model}")
@router.post("/infer/wsi_v2/{model}")
def slide(model: str, user: AnyUser) -> None:
    """Refuse inference on pathology slides, for which MONAI Label would open any file."""
    raise InputError("this app segments PET volumes, not slides; use POST /infer/{model}")


@router.post("/scoring/{method}")
def score(method: str, user: Annotator, params: dict[str, Any] | None = None, run_sync: bool = False) -> Any:
    """Start a scoring method that `/info/` lists."""
    if method not in app_instance()._scoring_methods:
        raise UnknownName(f"scoring method {quoted(method)} does not exist; GET /info/ lists them")
    parsed(ScoreOptions, "scoring", params or {})
    return monailabel_scoring.run_method(method, params, run_sync)


@router.get("/logs/")
def logs(
    user: Administrator,
    lines: Annotated[int, Query(ge=1, le=_LOG_LINES)] = 300,
    html: bool = True,
    text: bool = False,
    refresh: Annotated[int, Query(ge=0, le=3600)] = 0,
) -> Response:
    """Send the last lines of the log."""
    path = Path(settings.MONAI_LABEL_APP_DIR) / "logs" / "app.log"
    response: Response = monailabel_logs.get_logs(str(path), lines, html, text, refresh)
    return response


@router.get("/logs/gpu")
async def gpu(user: Administrator) -> Response:
    """Send the output of nvidia-smi."""
    if shutil.which("nvidia-smi") is None:
        raise UnknownName("this server has no nvidia-smi, so no GPU to tell of")
    response: Response = await monailabel_logs.gpu_info(user)
    return response


@router.get("/ohif/{path:path}")
def ohif(path: str, user: AnyUser) -> Response:
    """Send a file of OHIF, or its page for any other path; `OHIF_ADDITION` follows its configuration."""
    if "\0" in path or {".", ".."} & set(re.split(r"[/\\]", path)):
        raise HTTPException(404, f"{quoted(path)} is no file of OHIF")
    found = Path(monailabel_ohif.__file__).parent / "static" / "ohif" / path
    if path == "app-config.js" and found.is_file():
        content = found.read_text(encoding="utf-8") + OHIF_ADDITION.read_text(encoding="utf-8")
        return Response(content, media_type="text/javascript", headers={"Cache-Control": "no-cache"})
    page: FileResponse = FileResponse(found) if found.is_file() else monailabel_ohif.get_ohif("")
    return page


def _info(text: str) -> dict[str, Any]:
    content = json.loads(text or "{}")
    if not isinstance(content, dict):
        raise InputError(f"info {quoted(text)} is not a JSON object")
    if len(text) > MAX_INFO_BYTES:
        raise InputError(f"info is {len(text)} characters long, at most {MAX_INFO_BYTES}; keep notes elsewhere")
    return content
