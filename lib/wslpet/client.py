"""Client of a running server, without torch and without packages beyond Python's own.

>>> from wslpet.client import Client
>>> server = Client("http://127.0.0.1:8000")
>>> for image in server.images():
...     print(image, server.find(image)["cancer_type"])
>>> server.click("patient-0000", "oesophagus", (80, 162, 63))["mtv_ml"]
>>> server.write_mask("patient-0000", "found.nii.gz")
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from wslpet.core.errors import InputError


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

    def seeds(self, image: str) -> list[dict[str, Any]]:
        """Recorded seeds of an image, newest last."""
        info = json.loads(self._ask("GET", "/datastore/image/info", image=image))
        return list(info.get("seeds", []))

    def find(self, image: str) -> dict[str, Any]:
        """Find the tumour: cancer type, probabilities and the measures of the lesion."""
        return self._infer("wslpet", image, {})

    def click(self, image: str, cancer_type: str, index: Sequence[int]) -> dict[str, Any]:
        """Record a click at a voxel (i, j, k) of the image as stored, and delineate its lesion: its measures."""
        return self._infer("wslpet_seed", image, {cancer_type: [[int(place) for place in index]]})

    def write_mask(self, image: str, path: str | PathLike[str]) -> Path:
        """Find the tumour and write its mask, NIfTI."""
        answer = self._ask("POST", "/infer/wslpet", {"params": "{}"}, image=image, output="image")
        Path(path).write_bytes(answer)
        return Path(path)

    def train(self, **options: Any) -> dict[str, Any]:
        """Start a training on all seeds: the state of its task."""
        answer: dict[str, Any] = json.loads(self._ask("POST", "/train/wslpet", json.dumps(options).encode()))
        return answer

    def training(self) -> dict[str, Any]:
        """State of the last training, and the last lines of its log."""
        answer: dict[str, Any] = json.loads(self._ask("GET", "/train/"))
        return answer

    def _infer(self, model: str, image: str, params: Mapping[str, Any]) -> dict[str, Any]:
        text = self._ask("POST", f"/infer/{model}", {"params": json.dumps(params)}, image=image, output="json")
        answer: dict[str, Any] = json.loads(text)
        return dict(answer.get("params", answer))

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


def _reason(error: HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return text[:200] or error.reason
