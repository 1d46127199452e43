"""The server as a separate process, for benchmarks and tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import requests

if TYPE_CHECKING:
    from monailabel.client import MONAILabelClient

APP = Path(__file__).resolve().parents[2] / "apps" / "wslpet"
START_SECONDS = 240
END_SECONDS = 30

Self = TypeVar("Self", bound="Process")


class ServerError(RuntimeError):
    """The server did not start, or refused what it should do."""


class Process:
    """`start_server`, ended with `stop` or, as a crash would, with `kill`; started again, it has the same address.

    Parameters
    ----------
    studies : a folder, or the URL of a DICOMweb server.
    scratch : for the log, temporary files, sessions and downloads.
    conf : as `--conf` has it.
    settings : MONAI Label's, as environment variables.
    by_wslpet : started by `wslpet serve` instead of MONAI Label's `start_server`.
    """

    def __init__(
        self,
        studies: Path | str,
        scratch: Path,
        conf: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        by_wslpet: bool = False,
    ) -> None:
        self.studies = Path(studies)
        self.scratch = scratch.resolve()
        self.log = self.scratch / "server.log"
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        conf = conf or {}
        start = (
            ("wslpet", "serve") if by_wslpet else ("monailabel.main", "start_server", "--app", str(APP), "--studies")
        )
        self._command = [
            *(sys.executable, "-m", *start, str(studies.resolve() if isinstance(studies, Path) else studies)),
            *("--host", "127.0.0.1", "--port", str(self._port)),
            *(word for key, value in conf.items() for word in ("--conf", key, value)),
        ]
        self._settings = {
            "TMPDIR": str(self.scratch),
            "MONAI_LABEL_SESSION_PATH": str(self.scratch / "sessions"),
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self: Self, ready: str = "/info/") -> Self:
        """Start, and wait until the address `ready` answers. Raises ServerError when it does not."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            # Its own process group, so that a running training ends with the server.
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._settings},
                cwd=self.scratch,
                start_new_session=True,
            )
        try:
            self._wait(ready)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server without warning, as a crash would."""
        self._end(signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Raises ServerError when it is not running."""
        if self._process is None:
            raise ServerError("the server is not running; start it")
        return self._process.pid

    def client(self) -> MONAILabelClient:
        """MONAI Label's own."""
        from monailabel.client import MONAILabelClient

        downloads = self.scratch / "downloads"
        downloads.mkdir(parents=True, exist_ok=True)
        return MONAILabelClient(self.url, tmpdir=str(downloads), client_id="tester")

    def _wait(self, ready: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                raise ServerError(f"the server ended with {self._process.returncode}: {self._log_end()}")
            try:
                if requests.get(f"{self.url}{ready}", timeout=5).ok:
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
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(END_SECONDS)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
