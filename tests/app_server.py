"""A real server process on a folder of studies, and how the tests talk to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from monailabel.client import MONAILabelClient

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 240


class Server:
    """`start_server` on `studies`, stopped with `stop` or, as a crash would, with `kill`.

    `settings` are MONAI Label's, `before` is what the command is run by.
    """

    def __init__(
        self,
        studies: Path | str,
        scratch: Path,
        conf: dict[str, str] | None = None,
        settings: dict[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        self.studies = Path(studies)
        self._studies = str(studies)
        self._settings = settings or {}
        self._before = before
        self.scratch = scratch
        self.conf = {"use_pretrained_model": "false", **(conf or {})}
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self._port = 0

    def start(self, ready: str = "/info/") -> Server:
        """Start, and wait until the address `ready` answers; started again, it answers at the same address."""
        port = self._port = self._port or free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [
            *self._before,
            sys.executable,
            "-m",
            "monailabel.main",
            "start_server",
            "--app",
            str(ROOT / "apps" / "wslpet"),
        ]
        command += ["--studies", self._studies, "--host", "127.0.0.1", "--port", str(port)]
        for key, value in self.conf.items():
            command += ["--conf", key, value]
        environment = {
            **os.environ,
            "MONAI_LABEL_SESSION_PATH": str(self.scratch / "sessions"),
            "TMPDIR": str(self.scratch),
            "OMP_NUM_THREADS": "1",
            "MONAI_LABEL_RELOAD_APP_LIB": "true",
            **self._settings,
        }
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.log = self.scratch / "server.log"
        with open(self.log, "ab") as log:
            # A group of its own: a training that still runs ends with its server.
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, cwd=self.scratch, start_new_session=True
            )
        try:
            self._wait(ready)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        self.kill(signal.SIGTERM)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, how)
            self.process.wait(20)

    def _wait(self, ready: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process is not None and self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                if requests.get(f"{self.url}{ready}", timeout=5).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.1)
        raise AssertionError(f"no answer in {START_SECONDS} s: {self.log.read_text()[-3000:]}")

    def client(self) -> MONAILabelClient:
        folder = self.scratch / "downloads"
        folder.mkdir(exist_ok=True)
        return MONAILabelClient(self.url, tmpdir=str(folder), client_id="tester")

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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
