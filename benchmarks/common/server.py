"""A client of a real server, with the viewers' requests, for benchmarks."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from benchmarks.common.serving import Process, ServerError
from wslpet.core.volume import Volume
from wslpet.io.masks import read_mask

LABELS = ("lung", "oesophagus", "background")
ANSWER_SECONDS = 300
POLL_SECONDS = 0.5


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


class Server(Process):
    """`start_server` on a folder of studies, for as long as the `with` block runs."""

    _own = threading.local()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def session(self) -> requests.Session:
        """One HTTP session for each thread, since browsers keep their connection."""
        if not hasattr(self._own, "session"):
            self._own.session = requests.Session()
        session: requests.Session = self._own.session
        return session

    def memory(self) -> int:
        """Bytes that the process holds in memory."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """Peak memory in bytes since the start, or since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))

    def infer(self, image: str) -> Answer:
        """Auto-segmentation, through MONAI Label's own client."""
        start = time.perf_counter()
        path, result = self.client().infer("wslpet", image, {})
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
        """The seeds of an image in the datastore, newest last."""
        answer = requests.get(f"{self.url}/datastore/image/info", params={"image": image}, timeout=ANSWER_SECONDS)
        if answer.status_code != 200:
            raise ServerError(f"info of {image}: {answer.status_code} {answer.text[:500]}")
        return answer.json()["seeds"]

    def train(self, params: Mapping[str, Any], progress: Callable[[dict[str, Any]], Any]) -> Training:
        """Train and wait; `progress` is called with the server's statistics while it runs."""
        start = time.perf_counter()
        self.client().train_start("wslpet", dict(params))
        while (task := self.client().train_status())["status"] in ("SUBMITTED", "RUNNING"):
            progress(self._training_stats())
            time.sleep(POLL_SECONDS)
        seconds = time.perf_counter() - start
        if task["status"] != "DONE":
            details = "\n".join(map(str, task.get("details", [])))
            raise ServerError(f"training ended as {task['status']}\n{details}\nlog: {self.log}")
        return Training(seconds, self._training_stats())

    def _training_stats(self) -> dict[str, Any]:
        return self.client().info().get("train_stats", {}).get("wslpet") or {}


def _taken(path: Path) -> Volume:
    try:
        return read_mask(path)
    finally:
        path.unlink()
