"""What the tests share: one server for the session, on small synthetic scans."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from tests.helpers.app_server import Server
from tests.helpers.synthetic import ORIENTATIONS, Scan, write_scan

LEARNING = 8
WAITING = 4
# Fixtures that start a server, a PACS or a browser, or train; and tests that do so, or draw cohorts, themselves.
SLOW_FIXTURES = {
    "browser",
    "clinic",
    "hospital",
    "loaded",
    "quiet_server",
    "served",
    "server",
    "servers",
    "started",
    "trained",
    "ward",
}
SLOW_PATHS = (
    "tests/browser/viewers/",
    "tests/cli/commands/test_study.py",
    "tests/cli/demo/test_welcome.py",
    "tests/security/test_fuzz.py",
    "tests/security/test_kills.py",
    "tests/server/series/sources/test_bad_pacs.py",
    "tests/study/",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes long by what it needs; single tests are marked where they are."""
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        if SLOW_FIXTURES & set(item.fixturenames) or item.nodeid.startswith(SLOW_PATHS):
            item.add_marker(pytest.mark.slow)


@dataclass(frozen=True)
class Clinic:
    """A running server and the scans on it."""

    server: Server
    scans: dict[str, Scan]


@pytest.fixture(scope="module", autouse=True)
def no_loop_is_left() -> None:
    """While a browser is open, Playwright's event loop counts as running: another browser, and asyncio.run, refuse to
    start. So each module of tests closes its own, and any order of the modules passes."""
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


@pytest.fixture(scope="session")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """Scans: one per orientation and type, `learn0…` for training, `wait0…` that no test annotates. All of MONAI
    Label's routes are open, as they are checked where they are."""
    studies = tmp_path_factory.mktemp("studies")
    scans = write_cohort(studies)
    server = Server(studies, tmp_path_factory.mktemp("scratch"), {"open_routes": "true"}).start()
    yield Clinic(server, scans)
    server.stop()


@pytest.fixture(scope="session")
def trained_clinic(clinic: Clinic) -> Clinic:
    """The same server after clicks on the `learn` scans and a short training."""
    for name, scan in clinic.scans.items():
        if name.startswith("learn"):
            assert clinic.server.click(name, scan.cancer_type, scan.click).status_code == 200
    task = clinic.server.train(max_epochs=6, from_scratch=True)
    assert task["status"] == "DONE", task["details"]
    return clinic


def write_cohort(folder: Path) -> dict[str, Scan]:
    scans = [
        write_scan(folder, f"{orientation}_{cancer_type}", orientation, cancer_type)
        for orientation in ORIENTATIONS
        for cancer_type in ("lung", "oesophagus")
    ]
    scans.append(write_scan(folder, "as_nrrd", "permuted", "lung", extension=".nrrd"))
    for number in range(LEARNING + WAITING):
        name = f"learn{number}" if number < LEARNING else f"wait{number - LEARNING}"
        shift = (3 * number - 18, 2 * number - 12, 6 * number - 36)
        scans.append(write_scan(folder, name, "lps", ("lung", "oesophagus")[number % 2], shift))
    return {scan.name: scan for scan in scans}
