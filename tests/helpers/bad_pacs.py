"""A DICOMweb server in this process that answers properly, or as it is told not to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pydicom

BOUNDARY = "part"


class BadPacs:
    """One series. `search` and `fetch` say how its two services misbehave: "" for not at all.

    Both: html, error, forbidden, hang, drop, nothing. `search`: no_list, no_uid, path, endless, no_segmentations.
    `fetch`: other, half, broken (the connection), cut (the last slice), junk.
    """

    def __init__(self, files: list[Path], other: list[Path]) -> None:
        self.search = self.fetch = ""
        self.requests: list[str] = []
        self.released = threading.Event()
        self.files, self._other = files, other
        self._header = pydicom.dcmread(files[0], stop_before_pixels=True)
        pacs = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                pacs.requests.append(self.path)
                pacs._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/dicom-web"

    @property
    def uid(self) -> str:
        return str(self._header.SeriesInstanceUID)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        searching = "?" in request.path or request.path.endswith("/series")
        how = self.search if searching else self.fetch
        if how == "no_segmentations" and "Modality=SEG" in request.path:
            how = "error"
        common: dict[str, Callable[[], None]] = {
            "html": lambda: _send(request, 200, "text/html", b"<html>Please log in</html>"),
            "error": lambda: _send(request, 500, "text/plain", b"out of memory"),
            "forbidden": lambda: _send(request, 401, "text/plain", b"who are you"),
            "hang": lambda: self.released.wait(30) and None,
            "drop": lambda: request.connection.close(),
            "nothing": lambda: _send(request, 204, "text/plain", b""),
        }
        if how in common:
            request.close_connection = how in ("hang", "drop")
            common[how]()
        elif searching:
            self._search(request, how)
        else:
            self._fetch(request, how)

    def _search(self, request: BaseHTTPRequestHandler, how: str) -> None:
        header = self._header
        series = {
            "0020000D": {"vr": "UI", "Value": [str(header.StudyInstanceUID)]},
            "0020000E": {"vr": "UI", "Value": [self.uid]},
            "00080060": {"vr": "CS", "Value": ["PT"]},
            "00201209": {"vr": "IS", "Value": [len(self.files)]},
        }
        answer: Any = [series]
        if "Modality=SEG" in request.path or ("offset" in request.path and how != "endless"):
            answer = []
        elif "/instances" in request.path:
            kind = {"00080016": {"vr": "UI", "Value": [str(header.SOPClassUID)]}}
            answer = [{**kind, "00280051": {"vr": "CS", "Value": list(header.CorrectedImage)}}]
        elif how == "no_list":
            answer = {"error": ["no", "list"]}
        elif how == "no_uid":
            del series["0020000E"]
        elif how == "path":
            series["0020000E"] = {"vr": "UI", "Value": ["../../../etc/passwd"]}
        _send(request, 200, "application/dicom+json", json.dumps(answer).encode())

    def _fetch(self, request: BaseHTTPRequestHandler, how: str) -> None:
        files = self._other if how == "other" else self.files[: len(self.files) // 2 if how == "half" else None]
        parts = [b"junk" * 100 if how == "junk" else file.read_bytes() for file in files]
        head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = b"\r\n".join(head + part for part in parts) + f"\r\n--{BOUNDARY}--\r\n".encode()
        length = len(body)
        if how in ("broken", "cut"):
            body = body[:-3000]
            length = length if how == "broken" else len(body)
        request.close_connection = True
        kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
        _send(request, 200, kind, body, length)


def _send(request: BaseHTTPRequestHandler, status: int, kind: str, body: bytes, length: int | None = None) -> None:
    request.send_response(status)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body) if length is None else length))
    request.end_headers()
    request.wfile.write(body)


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()
