"""A real server process on a folder of studies, and how the tests talk to it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import requests

from benchmarks.common.serving import Process

ROOT = Path(__file__).resolve().parents[2]
# One thread beside other tests.
SETTINGS = {"OMP_NUM_THREADS": "1"}


class Server(Process):
    """Without weights, and with whatever folder it is given, unless `conf` says so."""

    def __init__(self, studies: Path | str, scratch: Path, conf: Any = None, settings: Any = None) -> None:
        conf = {"use_pretrained_model": "false", "wait_for_scans": "true", **(conf or {})}
        super().__init__(studies, scratch, conf, {**SETTINGS, **(settings or {})})

    def info(self) -> dict[str, Any]:
        return requests.get(f"{self.url}/info/", timeout=30).json()

    def seeds(self, image: str) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.url}/datastore/image/info", params={"image": image}, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()["seeds"]

    def infer(self, model: str, image: str, params: Any = None, **query: str) -> requests.Response:
        text = params if isinstance(params, str) else json.dumps(params or {})
        return requests.post(
            f"{self.url}/infer/{model}", params={"image": image, **query}, data={"params": text}, timeout=120
        )

    def click(self, image: str, cancer_type: str, index: Any, **query: str) -> requests.Response:
        """A click as OHIF and Slicer send it: every label has its entry."""
        params = {"lung": [], "oesophagus": [], "background": [], "client_id": "tester"}
        return self.infer("wslpet_seed", image, {**params, cancer_type: [index]}, **query)

    def train(self, **params: Any) -> dict[str, Any]:
        """Train, wait until it is over, and return its task."""
        answer = requests.post(f"{self.url}/train/wslpet", json=params, timeout=30)
        assert answer.status_code == 200, answer.text
        return self.wait_for_training()

    def wait_for_training(self) -> dict[str, Any]:
        """The task of the training that runs, once it is over."""
        while True:
            task = requests.get(f"{self.url}/train/", timeout=30).json()
            if task["status"] not in ("SUBMITTED", "RUNNING"):
                return task
            time.sleep(0.2)
