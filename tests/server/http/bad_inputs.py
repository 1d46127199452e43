"""Requests that must be refused, by name; `bad_inputs.csv` has each one's status and message."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import requests

from tests.helpers.bad_scans import FILES, nifti, packed, pet

TABLE = Path(__file__).with_suffix(".csv")
IMAGE = "wait0"
LUNG = [20, 20, 20]

Send = Callable[[str], requests.Response]


def _send(method: str, path: str, **how: Any) -> Send:
    return lambda url: requests.request(method, url + path, timeout=120, **how)


def _upload(name: str, image: str = "new", **query: str) -> Send:
    def send(url: str) -> requests.Response:
        params = {"image": image, **query}
        return requests.put(f"{url}/datastore/image", params=params, files={"file": FILES[name]()}, timeout=120)

    return send


def _good_upload(path: str, field: str = "file", **how: Any) -> Send:
    files = [(field, ("x.nii.gz", packed(nifti(pet()))))]
    return _send("PUT", path, files=files, **how)


def _click(params: Any, image: str = IMAGE, model: str = "wslpet_seed", query: str = "", **how: Any) -> Send:
    text = params if isinstance(params, str) else json.dumps(params)
    return _send("POST", f"/infer/{model}?image={image}{query}", data={"params": text}, **how)


def _train(params: Any) -> Send:
    return _send("POST", "/train/wslpet", json=params)


def _label(values: Any, query: str = f"image={IMAGE}&tag=final", info: Any = None, shift: float = 0.0) -> Send:
    def send(url: str) -> requests.Response:
        array = pet() * 0
        array[2:4, 2:4, 2:4] = values
        affine = np.diag([4.0, 4, 4, 1])
        affine[0, 3] = shift
        files = {"label": ("y.nii.gz", packed(nifti(array, affine)))}
        data = {"params": json.dumps(info or {})}
        return requests.put(f"{url}/datastore/label?{query}", files=files, data=data, timeout=120)

    return send


REQUESTS: dict[str, Send] = {
    **{f"upload: {name}": _upload(name) for name in FILES},
    "upload: name that climbs": _good_upload("/datastore/image?image=../x"),
    "upload: name that is a path": _good_upload("/datastore/image?image=/etc/x"),
    "upload: hidden name": _good_upload("/datastore/image?image=.x"),
    "upload: name with NUL": _good_upload("/datastore/image?image=x%00y"),
    "upload: long name": _good_upload(f"/datastore/image?image={'x' * 300}"),
    "upload: params that are no object": _good_upload("/datastore/image?image=x", data={"params": "[1]"}),
    "upload: params that are no JSON": _good_upload("/datastore/image?image=x", data={"params": "{"}),
    "upload: no file": _send("PUT", "/datastore/image?image=x"),
    "upload: taken name": _good_upload(f"/datastore/image?image={IMAGE}"),
    "upload: the old address": _good_upload("/datastore/?image=../x"),
    "session: name that climbs": _send("PUT", "/session/", files=[("files", ("..", b"x"))]),
    "session: not a scan": _send("PUT", "/session/", files=[("files", ("x.sh", b"x"))]),
    "session: header of another file": _send("PUT", "/session/", files=[("files", ("x.mhd", b"x"))]),
    "session: no scan": _send("PUT", "/session/", files=[("files", ("x.nii.gz", b"hello"))]),
    "session: archive": _good_upload("/session/?uncompress=true", "files"),
    "session: made up": _send("GET", "/session/nothing"),
    "session: id that climbs": _send("DELETE", "/session/%2e%2e"),
    "click: outside": _click({"lung": [[500, 5, 5]]}),
    "click: negative": _click({"lung": [[-2, 5, 5]]}),
    "click: in air": _click({"lung": [[1, 1, 1]]}),
    "click: NaN": _click('{"lung": [[NaN, 5, 5]]}'),
    "click: infinite": _click('{"lung": [[1, Infinity, 5]]}'),
    "click: huge": _click({"lung": [[1e300, 5, 5]]}),
    "click: strings": _click({"lung": [["1", "2", "3"]]}),
    "click: booleans": _click({"lung": [[True, False, True]]}),
    "click: two numbers": _click({"lung": [[1, 2]]}),
    "click: four numbers": _click({"lung": [[1, 2, 3, 4]]}),
    "click: no list": _click({"lung": "here"}),
    "click: flat list": _click({"lung": LUNG}),
    "click: nested too deep": _click({"lung": [[[1], [2], [3]]]}),
    "click: thousands": _click({"lung": [LUNG] * 5000}),
    "click: two types": _click({"lung": [LUNG], "oesophagus": [LUNG]}),
    "click: unknown type": _click({"stomach": [LUNG]}),
    "click: background": _click({"background": [LUNG]}),
    "click: none": _click({"lung": [], "oesophagus": []}),
    "click: unknown image": _click({"lung": [LUNG]}, "nobody"),
    "click: image that is a path": _click({"lung": [LUNG]}, "/etc/passwd"),
    "click: image that climbs": _click({"lung": [LUNG]}, "../wait0"),
    "click: no image": _click({"lung": [LUNG]}, ""),
    "click: another image in params": _click({"lung": [LUNG], "image": "/etc/passwd"}),
    "click: unknown key": _click({"lung": [LUNG], "image_uri": "/etc/passwd"}),
    "click: extension that climbs": _click({"lung": [LUNG], "result_extension": "/../x.nii"}),
    "click: flag that is text": _click({"lung": [LUNG], "save_label": "yes"}),
    "find: no probability": _click({"least_probability": 1.5}, model="wslpet"),
    "click: device that is code": _click({"lung": [LUNG], "device": "$(id)"}),
    "click: long name": _click({"lung": [LUNG], "client_id": "x" * 5000}),
    "click: no JSON": _click("{not json"),
    "click: nested JSON": _click("[" * 100_000),
    "click: to the task without clicks": _click({"lung": [LUNG]}, model="wslpet"),
    "click: unknown task": _click({"lung": [LUNG]}, model="nothing"),
    "click: as DICOM SEG": _click({"lung": [LUNG]}, query="&output=dicom_seg"),
    "click: unknown output": _click({"lung": [LUNG]}, query="&output=pdf"),
    "label: empty": _label(0),
    "label: fraction": _label(1.5),
    "label: too large a value": _label(300),
    "label: unknown value": _label(9),
    "label: unknown segment": _label(1, info={"label_info": [{"name": "spleen", "idx": 1}]}),
    "label: outside the image": _label(1, shift=5000),
    "label: tag that climbs": _label(1, f"image={IMAGE}&tag=../../x"),
    "label: unknown image": _label(1, "image=nobody"),
    "label: to be removed, unknown": _send("DELETE", f"/datastore/label?id={IMAGE}&tag=nothing"),
    "info: no object": _send("PUT", f"/datastore/image/info?image={IMAGE}", data={"info": "[1]"}),
    "info: too long": _send(
        "PUT", f"/datastore/image/info?image={IMAGE}", data={"info": json.dumps({"note": "x" * 70_000})}
    ),
    "train: unknown key": _train({"max_epoch": 3}),
    "train: a data set of the client's": _train({"val_ds": "/etc/passwd"}),
    "train: name that climbs": _train({"name": "../../x"}),
    "train: no epochs": _train({"max_epochs": 0}),
    "train: endless": _train({"max_epochs": 10**9}),
    "train: epochs in words": _train({"max_epochs": "many"}),
    "train: nothing to learn from": _train({"val_split": 0.9}),
    "train: unknown task": _send("POST", "/train/nothing", json={}),
    "next: unknown strategy": _send("POST", "/activelearning/nothing", json={}),
    "next: unknown key": _send("POST", "/activelearning/random", json={"image": "/etc/passwd"}),
    "next: no object": _send("POST", "/activelearning/random", json=[1]),
    "batch: unknown task": _send("POST", "/batch/infer/nothing", json={}),
    "batch: unknown key": _send("POST", "/batch/infer/wslpet", json={"path": "/etc"}),
    "batch: too many": _send("POST", "/batch/infer/wslpet", json={"max_batch_size": -1}),
    "scoring: unknown method": _send("POST", "/scoring/nothing", json={}),
    "model: pickle": _send("PUT", "/model/wslpet", files={"file": ("m.pt", b"cos\nsystem\n(S'true'\ntR.")}),
    "model: unknown": _send("GET", "/model/nothing"),
    "logs: all of them": _send("GET", "/logs/?lines=100000000"),
    "checksum: unknown kind": _send("HEAD", f"/datastore/image?image={IMAGE}&check_sum=CRC:1"),
    "slide: a path": _send("POST", "/infer/wsi/wslpet?image=/etc/passwd", json={}),
    "proxy: no PACS": _send("GET", "/proxy/dicom/qido/studies"),
    "page: another site's form": _click({"lung": [LUNG]}, headers={"Origin": "https://evil.example"}),
    "page: a sandboxed form": _click({"lung": [LUNG]}, headers={"Origin": "null"}),
    "host: rebound name": _send("GET", "/info/", headers={"Host": "evil.example"}),
    "size: a form beyond bounds": _send("POST", "/activelearning/random", data=b"x" * 5_000_000),
    "size: an upload beyond bounds": _send("PUT", "/datastore/image", headers={"Content-Length": str(10**11)}),
    "route: none of ours": _send("GET", "/etc/passwd"),
}


def answer(name: str, url: str) -> tuple[int, str]:
    """Status and message of what the server at `url` says to a request of the table; FastAPI's own as `field: why`."""
    response = REQUESTS[name](url)
    if not response.content:
        return response.status_code, ""
    detail = response.json()["detail"]
    if isinstance(detail, list):
        detail = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in detail)
    return response.status_code, detail


def table() -> dict[str, tuple[int, str]]:
    with open(TABLE, newline="", encoding="utf-8") as file:
        return {row["input"]: (int(row["status"]), row["message"]) for row in csv.DictReader(file)}
