"""Parallel map of a function over files, with joblib, in processes or on a Dask cluster; how threads wait.

joblib took the place of a `ProcessPoolExecutor`. On 12 phantom scans in two processes both took as long (28 and 33 s
against 33 and 47 s, in turn, on a busy machine) and as much memory (1.3 and 1.2 GB). Ctrl-C ends it in 1 s, not 10.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from wslpet.core.errors import InputError
from wslpet.core.limits import CORES

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def wait_asleep() -> None:
    """Set OMP_WAIT_POLICY=PASSIVE, unless it is set: for this process, if torch is not loaded yet, and its children.

    By default, a waiting OpenMP thread spins. Beside other work, the thread it waits for may not be scheduled, and the
    processor time is wasted. A training of 12 patients on two cores, two runs each, in turn: idle 20 and 20 s asleep,
    19 and 26 s spinning, 26 and 26 s with one thread; beside two busy loops 45 and 46 s asleep, 80 and 96 s spinning,
    40 and 41 s with one thread.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command-line options `--workers` and `--scheduler`, the arguments of `over`."""
    command.add_argument("--workers", type=int, default=CORES, metavar="N", help="processes (default: all processors)")
    command.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler to work on instead")


def over(
    function: Callable[[Item], Answer], items: Sequence[Item], workers: int = 1, scheduler: str | None = None
) -> Iterator[Answer | InputError]:
    """Parallel map: yield the function's result for each item, or the error that it raised, in order.

    An error that is no InputError becomes one, with its traceback in the log, so that one item does not end the rest.

    Parameters
    ----------
    function, items : picklable, unless one worker runs in this process.
    workers : number of processes on this computer, of one thread each; 1, or one item, runs in this process.
    scheduler : address of a Dask scheduler, such as tcp://host:8786, whose workers see the same files and have the
        same version of this project on their path.

    Raises
    ------
    InputError
        when `workers` is less than 1, a process dies, the scheduler does not answer, or Dask is not
        installed.
    """
    if workers < 1:
        raise InputError(f"--workers {workers} is not a number of processes; give 1 or more")
    return _over(function, items, max(1, min(workers, len(items))), scheduler)


def _over(
    function: Callable[[Item], Answer], items: Sequence[Item], workers: int, scheduler: str | None
) -> Iterator[Answer | InputError]:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    with _backend(scheduler):
        # Twice the workers at a time, a scan each: memory does not grow with the number of scans.
        jobs = None if scheduler else workers
        parallel = Parallel(jobs, pre_dispatch="2*n_jobs", batch_size=1, max_nbytes=None, return_as="generator")
        try:
            yield from parallel(delayed(_answer)(function, item) for item in items)
        except TerminatedWorkerError as error:
            raise InputError("a process died, as when memory runs out; use fewer --workers") from error


def _answer(function: Callable[[Item], Answer], item: Item) -> Answer | InputError:
    try:
        return function(item)
    except InputError as error:
        return error
    except Exception as error:
        name = item[0] if isinstance(item, tuple) else item
        logger.exception("%s", name)
        return InputError(f"{name}: {type(error).__name__}: {error}; the traceback is above, please report it")


@contextmanager
def _backend(scheduler: str | None) -> Iterator[None]:
    from joblib import parallel_config

    if scheduler is None:
        with parallel_config("loky", inner_max_num_threads=1):
            yield
        return
    with _client(scheduler) as client, client.as_current(), parallel_config("dask"):
        yield


def _client(scheduler: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("--scheduler needs Dask: pip install distributed==2026.8.0") from error
    try:
        return Client(scheduler, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"scheduler {scheduler} does not answer ({error}); start one with `dask scheduler` and give its address"
        ) from error
