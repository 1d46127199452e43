"""`make serve` and `make demo`: what the terminal shows, and what goes to the log file."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from benchmarks.common.serving import free_port
from tests.helpers.app_server import ROOT
from tests.helpers.synthetic import write_scan
from wslpet.cli.serving.serve import log_config, log_file
from wslpet.data.state_folder import state_folder

LAST = "Ctrl-C stops the server"
MOST_SECONDS = 240


@dataclass(frozen=True)
class Started:
    """A server as the terminal has it, and what it showed until the server answered."""

    process: subprocess.Popen[str]
    port: int
    shown: list[str]
    logged: str


def start(studies: Path | str, *options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "wslpet", "serve", str(studies), *map(str, options)]
    return subprocess.Popen(
        [*command, "--conf", "use_pretrained_model", "false"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def started(tmp_path_factory) -> Iterator[Started]:
    studies, port = tmp_path_factory.mktemp("studies"), free_port()
    write_scan(studies, "case")
    process = start(studies, "--port", port, "--welcome", "long")
    watch = threading.Timer(MOST_SECONDS, process.kill)
    watch.start()
    shown = []
    for line in process.stdout:
        shown.append(line.rstrip("\n"))
        if LAST in line:
            break
    watch.cancel()
    yield Started(process, port, shown, log_file(state_folder(studies)).read_text(encoding="utf-8"))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_the_terminal_shows_the_addresses_to_open(started):
    assert started.shown[0].startswith("Starting the server; its log is ")
    assert LAST in started.shown[-1]
    assert any(f"http://127.0.0.1:{started.port}/wslpet/" in line for line in started.shown)
    assert any("image=case" in line for line in started.shown)


def test_the_server_answers_when_the_terminal_shows_its_address(started):
    assert requests.get(f"http://127.0.0.1:{started.port}/info/", timeout=60).ok


def test_the_log_goes_to_its_file_and_not_to_the_terminal(started):
    assert "Application startup complete" in started.logged
    assert "App Init..." in started.logged  # what MONAI Label prints
    assert not [line for line in started.shown if "INFO" in line or "App Init" in line]


def test_ctrl_c_ends_it_with_nothing_more_to_read(started):
    requests.get(f"http://127.0.0.1:{started.port}/info/", timeout=60)
    started.process.send_signal(signal.SIGINT)
    rest = started.process.stdout.read()
    assert (started.process.wait(60), rest) == (0, "")


@pytest.mark.slow
def test_a_server_that_does_not_start_says_why_in_one_sentence(tmp_path):
    write_scan(tmp_path, "case")
    process = start(tmp_path, "--port", free_port(), "--conf", "types", "lung")
    shown = process.communicate(timeout=MOST_SECONDS)[0].splitlines()
    assert process.returncode == 2
    assert len(shown) == 2
    assert shown[-1].startswith("The server does not start: setting types=['lung'] is not two or more")


def test_a_port_in_use_is_reported_alone(started, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start(tmp_path, "--port", port)
        shown = process.communicate(timeout=MOST_SECONDS)[0].splitlines()
    assert process.returncode == 2
    (sentence,) = shown
    assert (
        sentence.startswith(f"The server does not start: port {port} on 127.0.0.1 is in use")
        and f"--port {port + 1}" in sentence
    )
    assert list(tmp_path.iterdir()) == []


def test_no_logger_writes_to_the_terminal(tmp_path):
    config = log_config(tmp_path / "a.log")
    assert {handler["filename"] for handler in config["handlers"].values()} == {str(tmp_path / "a.log")}
    named = [config["root"], *config["loggers"].values()]
    assert all(set(logger["handlers"]) <= set(config["handlers"]) for logger in named)
