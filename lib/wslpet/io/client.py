"""Client of a running server. It needs Python's standard library only.

>>> import wslpet
>>> server = wslpet.Client("http://127.0.0.1:8000")
>>> for image in server.images():
...     print(image, server.find(image)["cancer_type"])
>>> print(server.click("patient-0000", "lung", (80, 162, 63))["mtv_ml"])  # ml
>>> server.download("patient-0000", "lesions.nii.gz")
>>> server.train()
>>> server.wait_for_training()
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypedDict
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from wslpet.core.errors import InputError

Form = Literal["csv", "nifti", "seg", "rtstruct", "sr"]
_GOES_ON = ("SUBMITTED", "RUNNING")


class Centroid(TypedDict):
    """Voxel index (i, j, k) of the image as stored, and position in mm RAS."""

    index: list[float]
    position: list[float]


class Lesion(TypedDict):
    """A lesion: volume in ml, SUV by body weight, total lesion glycolysis in ml × SUV."""

    number: int
    label: int
    cancer_type: str
    centroid: Centroid
    volume_ml: float
    suv_max: float
    suv_peak: float
    suv_mean: float
    tlg: float
    contour: dict[str, Any]
    seeds: list[int]
    evidence: float | None


class Answer(TypedDict):
    """What was found, or delineated at a click; of all lesions together, the volume `mtv_ml` and `tlg`."""

    cancer_type: str
    type_probabilities: dict[str, float]
    confidence: float | None
    findings: list[dict[str, Any]]
    lesions: list[Lesion]
    mtv_ml: float
    tlg: float
    model_version: str


class RecordedSeed(TypedDict, total=False):
    """A recorded seed: cancer type, position in mm RAS, who recorded it and when."""

    cancer_type: str
    position: list[float]
    user: str
    time: str


class Training(TypedDict, total=False):
    """A training's state (SUBMITTED, RUNNING, DONE, ERROR, CANCELED) and the last lines of its log."""

    status: str
    details: list[str]


class Client:
    """A server's images, clicks, masks and training.

    Parameters
    ----------
    url : address of the server, such as http://127.0.0.1:8000.
    token : access token, where the server has accounts.
    timeout : seconds to wait for an answer.

    Every method raises InputError, with the server's own sentence, when the server refuses or does not answer.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 300.0) -> None:
        if not url.startswith(("http://", "https://")):
            raise InputError(f"{url} is not the address of a server; give one such as http://127.0.0.1:8000")
        self._url, self._timeout = url.rstrip("/"), timeout
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def images(self) -> list[str]:
        """Ids of the images that the server lists."""
        objects: dict[str, Any] = json.loads(self._ask("GET", "/datastore/", output="all"))["objects"]
        return sorted(objects)

    def seeds(self, image: str) -> list[RecordedSeed]:
        """Recorded seeds of an image, newest last."""
        info = json.loads(self._ask("GET", "/datastore/image/info", image=image))
        return list(info.get("seeds", []))

    def find(self, image: str) -> Answer:
        """Find the lesions and their cancer type with the model."""
        return self._infer("wslpet", image, {})

    def click(self, image: str, cancer_type: str, *indices: Sequence[int]) -> Answer:
        """Record a click in each lesion, the primary first, and delineate them.

        Parameters
        ----------
        indices : voxel (i, j, k) of the image as stored, one for each lesion.
        """
        return self._infer("wslpet_seed", image, {cancer_type: [[int(n) for n in index] for index in indices]})

    def write_mask(self, image: str, path: str | PathLike[str]) -> Path:
        """Find the lesions with the model and write their mask, NIfTI."""
        return _written(path, self._ask("POST", "/infer/wslpet", {"params": "{}"}, image=image, output="image"))

    def download(self, image: str, path: str | PathLike[str], form: Form = "nifti") -> Path:
        """Write the lesions of the annotation that counts.

        Parameters
        ----------
        form : "nifti" (values are the lesions' numbers), "csv" (a row for each lesion), or, of a DICOM series, "seg",
            "rtstruct" or "sr".
        """
        return _written(path, self._ask("GET", f"/wslpet/api/images/{quote(image, safe='')}/export", form=form))

    def download_table(self, path: str | PathLike[str], rows: Literal["lesions", "patients"] = "lesions") -> Path:
        """Write the cohort's tumour burden, CSV: a row for each lesion of the annotated images, or for each image."""
        return _written(path, self._ask("GET", f"/wslpet/api/{rows}.csv"))

    def train(self, **options: Any) -> Training:
        """Start a training on all seeds; options such as max_epochs=100 are those of `POST /train/wslpet`."""
        answer: Training = json.loads(self._ask("POST", "/train/wslpet", json.dumps(options).encode()))
        return answer

    def training(self) -> Training:
        """State of the last training."""
        answer: Training = json.loads(self._ask("GET", "/train/"))
        return answer

    def wait_for_training(self, poll: float = 1.0) -> Training:
        """State of the last training once it is over, asked for every `poll` seconds."""
        while (state := self.training()).get("status") in _GOES_ON:
            time.sleep(poll)
        return state

    def _infer(self, model: str, image: str, params: Mapping[str, Any]) -> Answer:
        text = self._ask("POST", f"/infer/{model}", {"params": json.dumps(params)}, image=image, output="json")
        answer: dict[str, Any] = json.loads(text)
        found: Answer = answer.get("params", answer)
        return found

    def _ask(self, method: str, path: str, content: Mapping[str, str] | bytes | None = None, **query: str) -> bytes:
        headers = dict(self._headers)
        if isinstance(content, Mapping):
            content = urlencode(content).encode()
        elif content is not None:
            headers["Content-Type"] = "application/json"
        url = f"{self._url}{path}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        try:
            with urlopen(Request(url, content, headers, method=method), timeout=self._timeout) as answer:
                return bytes(answer.read())
        except HTTPError as error:
            raise InputError(f"{self._url} refused ({error.code}): {_reason(error)}") from error
        except (URLError, OSError, HTTPException) as error:
            raise InputError(f"{self._url} does not answer ({error}); start the server with `wslpet serve`") from error


def _written(path: str | PathLike[str], content: bytes) -> Path:
    Path(path).write_bytes(content)
    return Path(path)


def _reason(error: HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return text[:200] or error.reason
