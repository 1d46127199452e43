"""Requests that a fuzzer makes of the OpenAPI schema: no 500, no crash, no file outside the studies.

FUZZ_SECONDS is how long it goes on (`make fuzz`: ten minutes).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import requests

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
    server = Server(folders["studies"], folders["scratch"]).start()
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


def _figures(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    return json.dumps([line for line in lines if "generated" in line or "Seed" in line or "Operations" in line])
