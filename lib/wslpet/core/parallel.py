"""Parallel map of a function over files, in processes or on a Dask cluster; and how threads wait for each other."""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from wslpet.core.errors import InputError
from wslpet.core.limits import CORES

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
    """Parallel map: yield the function's result for each item, or the InputError that it raised, in order.

    Parameters
    ----------
    function, items : picklable, unless one worker runs in this process.
    workers : number of processes on this computer; 1 runs in this process.
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
    return _over(function, items, min(workers, len(items)), scheduler)


def _over(
    function: Callable[[Item], Answer], items: Sequence[Item], workers: int, scheduler: str | None
) -> Iterator[Answer | InputError]:
    if scheduler is None and workers <= 1:
        for item in items:
            yield _answer(lambda: function(item))  # noqa: B023
        return
    with _submitting(workers, scheduler) as submit:
        try:
            for future in [submit(function, item) for item in items]:
                yield _answer(future.result)
        except BrokenProcessPool as error:
            raise InputError("a process died, as when memory runs out; use fewer --workers") from error


def _answer(result: Callable[[], Answer]) -> Answer | InputError:
    try:
        return result()
    except InputError as error:
        return error


@contextmanager
def _submitting(workers: int, scheduler: str | None) -> Iterator[Callable[..., Future[Any]]]:
    if scheduler is not None:
        with _client(scheduler) as client:
            yield lambda function, item: client.submit(function, item, pure=False)
        return
    # Spawned, not forked: torch's threads do not survive a fork.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _one_thread)
    try:
        yield pool.submit
    finally:
        pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


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
