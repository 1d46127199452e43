"""A Dask scheduler and workers as processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


LOCAL = ("--host", "127.0.0.1")


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Address of a scheduler, and its workers: one thread each, in `folder`, without a nanny that starts them again.

    A worker that is appended to the list, by `start_worker`, is ended with the others.
    """
    from distributed import Client

    scheduler = _start(folder, "scheduler", "--port", "0", *LOCAL, *_address(folder))
    begun = [start_worker(folder) for _ in range(workers)]
    try:
        with Client(scheduler_file=str(folder / "scheduler.json"), timeout="120s", set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)
            yield client.scheduler.address, begun
    finally:
        for process in (scheduler, *begun):
            process.kill()
            process.wait()


def start_worker(folder: Path) -> subprocess.Popen[bytes]:
    """Start a worker of the cluster in `folder`; it joins when it is ready."""
    return _start(folder, "worker", "--nthreads", "1", "--no-nanny", *LOCAL, *_address(folder))


def _address(folder: Path) -> tuple[str, ...]:
    return ("--scheduler-file", str(folder / "scheduler.json"), "--no-dashboard")


def _start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(ROOT / "lib"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    with open(folder / "dask.log", "ab") as log:
        dask = [sys.executable, "-m", "dask", *words]
        return subprocess.Popen(dask, cwd=folder, env=environment, stdout=log, stderr=log)
