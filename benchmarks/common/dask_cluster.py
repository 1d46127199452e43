"""A Dask scheduler and workers as processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Address of a scheduler, and its workers: one thread each, in `folder`, without a nanny that starts them again."""
    from distributed import Client

    path = os.pathsep.join([str(ROOT / "lib"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    dask, local = [sys.executable, "-m", "dask"], ["--host", "127.0.0.1"]
    address = ["--scheduler-file", str(folder / "scheduler.json"), "--no-dashboard"]
    with open(folder / "dask.log", "ab") as log:
        start = partial(subprocess.Popen, cwd=folder, env=environment, stdout=log, stderr=log)
        begun = [start([*dask, "scheduler", "--port", "0", *local, *address])]
        worker = [*dask, "worker", "--nthreads", "1", "--no-nanny", *local, *address]
        begun += [start(worker) for _ in range(workers)]
    try:
        with Client(scheduler_file=str(folder / "scheduler.json"), timeout="120s", set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)
            yield client.scheduler.address, begun[1:]
    finally:
        for process in begun:
            process.kill()
            process.wait()
