"""Orthanc with its DICOMweb plugin as a local PACS for the demo and the tests; not a PACS for patients."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import requests

from wslpet.core.errors import InputError
from wslpet.io.dicom.files import find_series

REMEDY = "apt-get install orthanc orthanc-dicomweb"
# Debian installs daemons in folders that are only on root's PATH.
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin")
PLUGINS = ("/usr/share/orthanc/plugins/libOrthancDicomWeb.so", "/usr/local/share/orthanc/plugins/libOrthancDicomWeb.so")
START_SECONDS = 60
STOP_SECONDS = 30
ANSWER_SECONDS = 60


class PacsError(InputError):
    """Orthanc is not installed, does not start, or refuses a file."""


class Orthanc:
    """One Orthanc process; its images and its address are the same after `stop` and `start`.

    Parameters
    ----------
    folder : for the images, the settings and the log; made when missing.
    port : of HTTP; a free one by default. It listens on loopback only and opens no DICOM port.
    login : required user and password; none by default.
    """

    def __init__(self, folder: Path, port: int | None = None, login: tuple[str, str] | None = None) -> None:
        self.folder = Path(folder).resolve()
        self.port = port or _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.dicomweb = f"{self.url}/dicom-web"
        self.log = self.folder / "orthanc.log"
        self._login = login
        self._http = requests.Session()
        self._http.auth = login
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Orthanc:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def runs(self) -> bool:
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Orthanc:
        """Start the process and wait until it answers.

        Raises
        ------
        PacsError
            when it is not installed, the port is taken, or it does not answer.
        """
        command, settings = _installed(), self.folder / "orthanc.json"
        if _is_taken(self.port):
            raise PacsError(f"port {self.port} is taken; stop the program that listens there, or give another port")
        self.folder.mkdir(parents=True, exist_ok=True)
        settings.touch(mode=0o600)  # contains the password
        settings.write_text(json.dumps(self._settings(), indent=2))
        with open(self.log, "wb") as log:
            # In a session of its own, so that Ctrl-C stops the program that uses it, and that program then stops it.
            self._process = subprocess.Popen([command, str(settings)], stdout=log, stderr=log, start_new_session=True)
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the process; its images are kept."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def get(self, path: str, **query: str) -> requests.Response:
        """GET from Orthanc's own API or, below /dicom-web, from DICOMweb."""
        return self._http.get(f"{self.url}{path}", params=query, timeout=ANSWER_SECONDS)

    def upload(self, files: Iterable[Path], progress: Callable[[], Any] = lambda: None) -> None:
        """Upload DICOM files; instances that exist are kept. `progress` is called after each.

        Raises
        ------
        PacsError
            names the file that was refused.
        """
        for file in files:
            answer = self._http.post(f"{self.url}/instances", data=file.read_bytes(), timeout=ANSWER_SECONDS)
            if not answer.ok:
                raise PacsError(f"{file} was refused by Orthanc ({answer.status_code}); is it a whole DICOM file?")
            progress()

    def missing(self, folder: Path) -> list[Path]:
        """Files in and below a folder whose series are not stored completely."""
        return [
            file
            for uid, files in find_series(folder).items()
            if self._stored_slices(uid) < len(files)
            for file in files
        ]

    def _stored_slices(self, series: str) -> int:
        answer = self._http.post(f"{self.url}/tools/lookup", data=series, timeout=ANSWER_SECONDS)
        found = [match["Path"] for match in answer.json() if match["Type"] == "Series"]
        return sum(len(self.get(path).json()["Instances"]) for path in found)

    def _settings(self) -> dict[str, Any]:
        stored = str(self.folder / "stored")
        return {
            "Name": "WSL-PET demo",
            "StorageDirectory": stored,
            "IndexDirectory": stored,
            "SyncStorageArea": False,
            "HttpPort": self.port,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": self._login is not None,
            "RegisteredUsers": dict([self._login] if self._login else []),
            "Plugins": [_plugin()],
        }

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.runs and time.monotonic() < deadline:
            try:
                if self.get("/dicom-web/series", limit="1").ok:
                    return
            except requests.ConnectionError:
                pass
            time.sleep(0.05)
        how = f"no answer within {START_SECONDS} s" if self.runs else "it ended"
        raise PacsError(f"Orthanc did not start ({how}); its log {self.log} says: {self._last_words()}")

    def _last_words(self) -> str:
        return " ".join(self.log.read_text(errors="replace").splitlines()[-3:])


def _installed() -> str:
    path = os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_FOLDERS])
    command = shutil.which("Orthanc", path=path)
    if command is None:
        raise PacsError(f"Orthanc is not installed; {REMEDY}")
    return command


def _plugin() -> str:
    for path in PLUGINS:
        if Path(path).exists():
            return path
    raise PacsError(f"Orthanc has no DICOMweb plugin ({PLUGINS[0]}); {REMEDY}")


def is_installed() -> bool:
    """Whether Orthanc and its DICOMweb plugin are installed."""
    try:
        return bool(_installed() and _plugin())
    except PacsError:
        return False


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
