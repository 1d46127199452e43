"""Requests that a fuzzer makes of the OpenAPI schema, and headers of any bytes: no 500, no crash, no file outside.

FUZZ_SECONDS is how long it goes on (`make fuzz`: ten minutes).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress

import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.helpers.app_server import Server
from tests.helpers.synthetic import write_scan
from tests.security.listing import listing

SECONDS = int(os.environ.get("FUZZ_SECONDS", "40"))


@pytest.fixture
def target(tmp_path):
    folders = {name: tmp_path / name for name in ("studies", "scratch", "fuzzer", "elsewhere")}
    for folder in folders.values():
        folder.mkdir()
    for number in range(2):
        write_scan(folders["studies"], f"case{number}", "lps", ("lung", "oesophagus")[number])
    server = Server(folders["studies"], folders["scratch"], {"open_routes": "true"}).start()
    yield server, folders
    server.stop()


def test_the_fuzzer_finds_no_failure(target, capsys):
    server, folders = target
    before = listing()
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    command += ["--max-time", str(SECONDS), "--checks", "not_a_server_error", "--continue-on-failure"]
    command += ["--request-timeout", "60", "--phases", "coverage,fuzzing", "--report-json-path", "report.json"]
    told = subprocess.run(
        command, cwd=folders["fuzzer"], capture_output=True, text=True, timeout=SECONDS + 300, check=False
    )
    text = told.stdout + told.stderr
    report = folders["fuzzer"] / "report.json"
    with capsys.disabled():
        print(text[-1500:] if told.returncode else _figures(text))
    assert told.returncode == 0, text[-6000:]
    assert report.exists(), text[-2000:]
    assert requests.get(f"{server.url}/info/", timeout=60).ok
    assert listing() == before
    assert not list(folders["elsewhere"].iterdir())
    log = server.log.read_text()
    assert "Traceback" not in log, log[log.index("Traceback") :][:3000]


# What the server, its framework or MONAI Label reads.
HEADERS = [
    *("Host", "Origin", "Referer", "Sec-Fetch-Site", "Access-Control-Request-Method", "Access-Control-Request-Headers"),
    *("Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Upgrade", "Expect", "Authorization"),
    *("Cookie", "Range", "If-Range", "If-None-Match", "If-Modified-Since", "Accept", "Accept-Encoding"),
    *("X-Forwarded-For", "X-Forwarded-Proto"),
]
PATHS = ("/info/", "/wslpet/", "/wslpet/api/status", "/datastore/?output=all", "/infer/wslpet?image=case0", "/static/x")
_VALUES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"http://[", b"\xb2", b"bytes=5-2", b"Bearer \xff", b"multipart/form-data; boundary=", b"-1"]),
).map(lambda value: value.translate(None, b"\r\n\0"))


@pytest.fixture(scope="module")
def quiet_server(tmp_path_factory):
    studies = tmp_path_factory.mktemp("studies")
    write_scan(studies, "case0")
    server = Server(studies, tmp_path_factory.mktemp("scratch"), {"open_routes": "true"}).start()
    yield server
    server.stop()


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"]),
    path=st.sampled_from(PATHS),
    headers=st.dictionaries(st.sampled_from(HEADERS), _VALUES, min_size=1, max_size=4),
)
@example(method="GET", path="/info/", headers={"Origin": b"http://["})
@example(method="POST", path="/info/", headers={"Content-Length": b"\xb2"})
@settings(max_examples=5 * SECONDS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_headers_of_any_bytes_fail_nothing(quiet_server, method, path, headers):
    status = _ask(quiet_server, method, path, headers)
    assert status < 500, (method, path, headers)
    log = quiet_server.log.read_text(errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") :][:3000]


def _ask(server, method, path, headers):
    """Status of the answer to a request, byte by byte as given; 0 where the server hangs up, or waits for more."""
    host, port = server.url.removeprefix("http://").split(":")
    given = {"Host": f"{host}:{port}".encode(), "Connection": b"close", **headers}
    lines = [f"{method} {path} HTTP/1.1".encode(), *(name.encode() + b": " + value for name, value in given.items())]
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(b"\r\n".join([*lines, b"", b"0\r\n\r\n"]))
        connection.settimeout(5)
        with suppress(TimeoutError, ConnectionError):
            answer = connection.makefile("rb").readline().split()
            return int(answer[1]) if answer else 0
    return 0


def _figures(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    return json.dumps([line for line in lines if "generated" in line or "Seed" in line or "Operations" in line])
