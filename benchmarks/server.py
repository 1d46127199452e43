"""A real server process, and requests to it as the viewers send them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from monailabel.client import MONAILabelClient

from lib.readers import read_mask
from lib.volume import Volume

APP = Path(__file__).resolve().parents[1] / "apps" / "wslpet"
LABELS = ("lung", "oesophagus", "background")
START_SECONDS = 120
ANSWER_SECONDS = 300
POLL_SECONDS = 0.5


class ServerError(RuntimeError):
    """The server did not start, or refused what it should do."""


@dataclass(frozen=True, eq=False)
class Answer:
    """A mask (i, j, k) as the server sent it, the JSON beside it (empty for a click), and the seconds it took."""

    mask: Volume
    result: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Training:
    """Seconds from the request to the end of the task, and the statistics that the server shows of it."""

    seconds: float
    stats: dict[str, Any]


class Server:
    """`start_server` on a folder of studies, for as long as the `with` block runs.

    Parameters
    ----------
    studies : the folder.
    scratch : for the log, temporary files and downloads.
    conf : as `--conf` has it.
    """

    def __init__(self, studies: Path, scratch: Path, conf: Mapping[str, str] | None = None) -> None:
        self.studies = studies.resolve()
        self.scratch = scratch.resolve()
        self.conf = dict(conf or {})
        self.log = self.scratch / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end(signal.SIGTERM)

    def start(self) -> None:
        """Start the process, and wait until it answers."""
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(APP)]
        command += ["--studies", str(self.studies), "--host", "127.0.0.1", "--port", str(port)]
        for key, value in self.conf.items():
            command += ["--conf", key, value]
        downloads = self.scratch / "downloads"
        downloads.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "TMPDIR": str(self.scratch),
            "MONAI_LABEL_SESSION_PATH": str(self.scratch / "sessions"),
        }
        with open(self.log, "ab") as log:
            # A process group of its own: a training that still runs ends with its server.
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, cwd=self.scratch, start_new_session=True
            )
        self.client = MONAILabelClient(self.url, tmpdir=str(downloads), client_id="e2e")
        try:
            self._wait()
        except BaseException:
            self._end(signal.SIGKILL)
            raise

    @property
    def pid(self) -> int:
        """The server's process; raises ServerError when it is not running."""
        if self._process is None:
            raise ServerError("the server is not running; start it")
        return self._process.pid

    def kill(self) -> None:
        """What a crash does."""
        self._end(signal.SIGKILL)

    def memory(self) -> int:
        """Bytes that the process holds in memory."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """The most bytes that it held since it started, or since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        assert self._process is not None
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        assert self._process is not None
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))

    def infer(self, image: str) -> Answer:
        """Auto-segmentation, through MONAI Label's own client."""
        start = time.perf_counter()
        path, result = self.client.infer("wslpet", image, {})
        seconds = time.perf_counter() - start
        return Answer(_taken(Path(path)), result, seconds)

    def click(self, image: str, cancer_type: str, index: tuple[int, int, int]) -> Answer:
        """One click on a voxel, with the parameters that OHIF sends."""
        points: dict[str, Any] = {label: [] for label in LABELS} | {cancer_type: [list(index)]}
        params = {
            **points,
            "result_extension": ".nrrd",
            "result_dtype": "uint8",
            "result_compress": False,
            "restore_label_idx": False,
            "client_id": "e2e",
        }
        start = time.perf_counter()
        answer = requests.post(
            f"{self.url}/infer/wslpet_seed",
            params={"image": image, "output": "image"},
            files={"params": (None, json.dumps(params))},
            timeout=ANSWER_SECONDS,
        )
        seconds = time.perf_counter() - start
        if answer.status_code != 200:
            raise ServerError(f"click on {image}: {answer.status_code} {answer.text[:500]}")
        with tempfile.NamedTemporaryFile(dir=self.scratch, suffix=".nrrd", delete=False) as file:
            file.write(answer.content)
        return Answer(_taken(Path(file.name)), {}, seconds)

    def seeds(self, image: str) -> list[dict[str, Any]]:
        """What the datastore knows of an image's seeds, newest last."""
        answer = requests.get(f"{self.url}/datastore/image/info", params={"image": image}, timeout=ANSWER_SECONDS)
        if answer.status_code != 200:
            raise ServerError(f"info of {image}: {answer.status_code} {answer.text[:500]}")
        return answer.json()["seeds"]

    def train(self, params: Mapping[str, Any], progress: Callable[[dict[str, Any]], Any]) -> Training:
        """Train and wait; `progress` is called with the server's statistics while it runs."""
        start = time.perf_counter()
        self.client.train_start("wslpet", dict(params))
        while (task := self.client.train_status())["status"] in ("SUBMITTED", "RUNNING"):
            progress(self._training_stats())
            time.sleep(POLL_SECONDS)
        seconds = time.perf_counter() - start
        if task["status"] != "DONE":
            details = "\n".join(map(str, task.get("details", [])))
            raise ServerError(f"training ended as {task['status']}\n{details}\nlog: {self.log}")
        return Training(seconds, self._training_stats())

    def _training_stats(self) -> dict[str, Any]:
        return self.client.info().get("train_stats", {}).get("wslpet") or {}

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                raise ServerError(f"the server ended with {self._process.returncode}: {self._log_end()}")
            try:
                if requests.get(f"{self.url}/info/", timeout=5).ok:
                    return
            except requests.RequestException:
                time.sleep(0.1)
        raise ServerError(f"no answer within {START_SECONDS} s: {self._log_end()}")

    def _log_end(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def _end(self, how: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        os.killpg(self._process.pid, how)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)


def _taken(path: Path) -> Volume:
    try:
        return read_mask(path)
    finally:
        path.unlink()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
