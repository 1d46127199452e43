"""Parallel map of a function over files: in processes by joblib, or on a Dask cluster. OpenMP's wait policy.

joblib is used instead of `ProcessPoolExecutor` because Ctrl-C ends it after 1 s, not 10 s. Time and memory are alike:
12 phantom scans in two processes took 28 and 33 s (joblib) and 33 and 47 s (pool) on a busy computer, with 1.3 and
1.2 GB.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from itertools import islice
from typing import Any, TypeVar

from wslpet.core.errors import InputError
from wslpet.core.limits import CORES

logger = logging.getLogger(__name__)

# Time limit of the scheduler's answer, and of the wait for a worker while it has none.
DASK_SECONDS = 10
# Interval at which a finished scan is looked for; a scan takes seconds.
POLL_SECONDS = 0.02
Item = TypeVar("Item")
Answer = TypeVar("Answer")


def wait_asleep() -> None:
    """Set OMP_WAIT_POLICY=PASSIVE, unless the variable is set already. It must be called before torch is imported.

    The setting holds for this process and its children. With OpenMP's default, a waiting thread spins: it occupies a
    processor that the thread it waits for may need. Training on 12 patients with two cores, two runs of each setting:
    19–26 s (spinning) and 20 s (passive) on an idle computer; 80–96 s and 45–46 s beside two busy loops.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command-line options `--workers` and `--scheduler`, the arguments of `over`."""
    command.add_argument("--workers", type=int, default=CORES, metavar="N", help="processes (default: all processors)")
    command.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler to work on instead")


def over(
    function: Callable[[Item], Answer], items: Sequence[Item], workers: int = 1, scheduler: str | None = None
) -> Iterator[Answer | InputError]:
    """Parallel map: yield the function's result for each item, or the error that it raised, in the order of the items.

    An exception of another type is logged with its traceback and yielded as an InputError, so that the other items
    are processed all the same.

    Parameters
    ----------
    function, items : must be picklable if they run in another process.
    workers : number of processes on this computer, with one thread each. With 1 worker, or a single item, the
        function runs in this process.
    scheduler : address of a Dask scheduler, such as tcp://host:8786. Its workers need the same files at the same
        paths, and the same version of this package.

    Raises
    ------
    InputError
        if `workers` is less than 1, a process dies, the scheduler does not answer or has no worker, or Dask is not
        installed.
    """
    if workers < 1:
        raise InputError(f"--workers {workers} is not a number of processes; give 1 or more")
    if scheduler is not None:
        return _on_dask(function, items, scheduler)
    return _in_processes(function, items, max(1, min(workers, len(items))))


def _in_processes(
    function: Callable[[Item], Answer], items: Sequence[Item], workers: int
) -> Iterator[Answer | InputError]:
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    with parallel_config("loky", inner_max_num_threads=1):
        # At most twice as many scans as workers are dispatched, so that memory does not grow with the cohort.
        parallel = Parallel(workers, pre_dispatch="2*n_jobs", batch_size=1, max_nbytes=None, return_as="generator")
        try:
            yield from parallel(delayed(_answer)(function, item) for item in items)
        except TerminatedWorkerError as error:
            raise InputError("a process died, as when memory runs out; use fewer --workers") from error


def _on_dask(
    function: Callable[[Item], Answer], items: Sequence[Item], scheduler: str
) -> Iterator[Answer | InputError]:
    """Yield in order; at most twice as many scans are dispatched as the cluster has threads at that moment.

    Not by joblib's backend "dask": with a single worker it runs the function in this process, and it does not use
    workers that come later.
    """
    with _client(scheduler) as client:
        upcoming, told = iter(enumerate(items)), 0
        numbers: dict[Any, int] = {}
        answers: dict[int, Answer | InputError] = {}

        def dispatch() -> None:
            most = 2 * max(1, sum(client.nthreads().values()))
            for number, item in islice(upcoming, max(0, most - len(numbers))):
                numbers[client.submit(_answer, function, item, pure=False)] = number

        dispatch()
        while numbers:
            for future in _done(client, list(numbers), scheduler):
                number = numbers.pop(future)
                answers[number] = _result(client, future, items[number], scheduler)
            dispatch()
            while told in answers:
                yield answers.pop(told)
                told += 1


def _done(client: Any, futures: list[Any], scheduler: str) -> list[Any]:
    """Wait for one of the futures, and return those that are done; an InputError if the last worker is lost."""
    next_check = time.monotonic() + DASK_SECONDS
    while True:
        done = [future for future in futures if future.done()]
        if done:
            return done
        if time.monotonic() > next_check:
            if not client.nthreads():
                _wait_for_worker(client, scheduler)
            next_check = time.monotonic() + DASK_SECONDS
        time.sleep(POLL_SECONDS)


def _result(client: Any, future: Any, item: Any, scheduler: str) -> Any:
    """Return the result of a scan; an error that names it if each worker that had it died.

    A result lies in the memory of its worker. If that is lost before the result is fetched, Dask does the scan again on
    another worker, and would wait for one without end.
    """
    from distributed import KilledWorker
    from distributed import TimeoutError as DaskTimeoutError  # on Python 3.10, not the built-in one

    while True:
        try:
            return future.result(timeout=DASK_SECONDS)
        except DaskTimeoutError:
            _wait_for_worker(client, scheduler)
        except KilledWorker:
            return InputError(f"{_name(item)}: the workers that had it died, as when memory runs out")
        except CancelledError as error:
            raise InputError(f"scheduler {scheduler} was lost; start it, and give the command again") from error


def _answer(function: Callable[[Item], Answer], item: Item) -> Answer | InputError:
    try:
        return function(item)
    except InputError as error:
        return error
    except Exception as error:
        logger.exception("%s", _name(item))
        return InputError(f"{_name(item)}: {type(error).__name__}: {error}; the traceback is above, please report it")


def _name(item: Any) -> Any:
    return item[0] if isinstance(item, tuple) else item


def _client(scheduler: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("--scheduler needs Dask: pip install distributed==2026.8.0") from error
    try:
        client = Client(scheduler, timeout=DASK_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"scheduler {scheduler} does not answer ({error}); start one with `dask scheduler` and give its address"
        ) from error
    try:
        _wait_for_worker(client, scheduler)
    except InputError:
        client.close()
        raise
    return client


def _wait_for_worker(client: Any, scheduler: str) -> None:
    from distributed import TimeoutError as DaskTimeoutError  # on Python 3.10, not the built-in one

    try:
        client.wait_for_workers(1, timeout=DASK_SECONDS)
    except DaskTimeoutError as error:
        raise InputError(
            f"scheduler {scheduler} has no worker after {DASK_SECONDS} s; start some with `dask worker {scheduler}`"
        ) from error
