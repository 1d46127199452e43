"""A PACS of Debian's packages, on loopback, for the tests."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
import requests
from app_server import free_port

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
needed = pytest.mark.skipif(
    shutil.which("Orthanc") is None or not PLUGIN.exists(),
    reason="no PACS here: apt-get install orthanc orthanc-dicomweb",
)


class Orthanc:
    """What it stores survives `stop` and `start`; the address stays the same."""

    def __init__(self, folder: Path, login: tuple[str, str] | None = None) -> None:
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        self.dicomweb = f"{self._url}/dicom-web"
        self._folder = folder
        self._login = login
        folder.mkdir(parents=True)
        settings = {
            "StorageDirectory": str(folder / "stored"),
            "IndexDirectory": str(folder / "stored"),
            "HttpPort": port,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": login is not None,
            "RegisteredUsers": dict([login] if login else []),
            "Plugins": [str(PLUGIN)],
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))

    def start(self) -> Orthanc:
        with open(self._folder / "log", "ab") as log:
            command = ["Orthanc", str(self._folder / "orthanc.json")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.get("/system")
                return self
            except requests.ConnectionError:
                assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def get(self, path: str, **query: str) -> requests.Response:
        return requests.get(f"{self._url}{path}", params=query, auth=self._login, timeout=30)

    def upload(self, files: Iterable[Path]) -> None:
        for file in files:
            answer = requests.post(f"{self._url}/instances", data=file.read_bytes(), auth=self._login, timeout=30)
            answer.raise_for_status()

    def series(self, modality: str) -> list[dict]:
        """QIDO's answer."""
        return self.get("/dicom-web/series", Modality=modality).json()

    def file_of(self, series: str) -> bytes:
        """The first file of a series."""
        found = requests.post(f"{self._url}/tools/lookup", data=series, auth=self._login, timeout=30).json()
        name = self.get(found[0]["Path"]).json()["Instances"][0]
        return self.get(f"/instances/{name}/file").content
