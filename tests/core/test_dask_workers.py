"""A cohort on two Dask workers, one of which is killed half-way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.app_server import ROOT
from wslpet.core.errors import InputError
from wslpet.core.parallel import over

SCANS, BAD, SECONDS = 40, 17, 0.05


def worked(item: tuple[str, str]) -> str:
    """Take a while, say in the scan's file which process did it, or refuse the scan."""
    name, folder = item
    time.sleep(SECONDS)
    if name == f"scan-{BAD:03d}":
        raise InputError(f"{name}: not a PET scan; give another")
    with open(Path(folder) / name, "a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    return name


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers of one thread, as three processes without a nanny."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "lib"), str(ROOT)])}
    scheduler_file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"cwd": folder, "env": environment, "stderr": subprocess.DEVNULL}
    address = ["--scheduler-file", str(scheduler_file), "--no-dashboard"]
    begun = [subprocess.Popen([*dask, "scheduler", "--port", "0", "--host", "127.0.0.1", *address], **quiet)]
    try:
        for _ in range(2):
            worker = [*dask, "worker", "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1", *address]
            begun.append(subprocess.Popen(worker, **quiet))
        deadline = time.monotonic() + 60
        while not scheduler_file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        from distributed import Client

        with Client(scheduler_file=str(scheduler_file), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            yield client.scheduler.address, begun[1:]
    finally:
        for process in begun:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_no_scan(tmp_path):
    pytest.importorskip("distributed")
    out = tmp_path / "out"
    out.mkdir()
    names = [f"scan-{n:03d}" for n in range(SCANS)]
    with cluster(tmp_path) as (address, workers):

        def kill_half_way() -> None:
            while len(list(out.iterdir())) < SCANS // 2:
                time.sleep(0.01)
            workers[0].send_signal(signal.SIGKILL)

        killer = threading.Thread(target=kill_half_way, daemon=True)
        killer.start()
        answers = list(over(worked, [(name, str(out)) for name in names], scheduler=address))
        killer.join(timeout=60)
    assert [str(answer)[:8] for answer in answers] == names
    assert [n for n, answer in enumerate(answers) if isinstance(answer, InputError)] == [BAD]
    done_by = {path.name: path.read_text(encoding="utf-8").split() for path in out.iterdir()}
    assert sorted(done_by) == [name for name in names if name != names[BAD]]
    # The killed worker finished some, the other one the rest; only answers that lay in its memory are computed again.
    assert len({pid for pids in done_by.values() for pid in pids}) == 2
    assert sum(len(pids) - 1 for pids in done_by.values()) <= 4
