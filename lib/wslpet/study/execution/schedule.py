"""Execute the runs of a study in worker processes; finished runs are kept, so that a study can be resumed."""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from wslpet.core.errors import InputError
from wslpet.study.design.study import Progress, Study
from wslpet.study.execution.runs import Run, execute, is_kept
from wslpet.study.systems import SYSTEMS

LOG = "study.log"
# Least share of a run's cost: its test patients take that long, however few patients it learns from.
LEAST_SHARE = 0.25

logger = logging.getLogger(__name__)

# A run, what went wrong or None, and its seconds.
Ended = tuple[Run, str | None, float]


def make_study(study: Study, workers: int = 1, progress: Progress | None = None) -> None:
    """Execute every run that is not on disk yet; a failed run does not stop the others.

    Raises
    ------
    InputError
        naming the runs that failed and why, after all others are done.
    """
    waiting = [run for run in study.runs() if not is_kept(run, study.folder)]
    costs = {run: _cost(study, run) for run in waiting}
    log = _open_log(study.folder)
    log.info("%d runs to make, %d kept, %d at a time", len(waiting), len(study.runs()) - len(waiting), workers)
    shares: dict[Run, float] = dict.fromkeys(waiting, 0.0)

    def advance(run: Run, share: float) -> None:
        shares[run] = share
        if progress is not None:
            done = sum(costs[one] * part for one, part in shares.items())
            progress(done, sum(costs.values()), f"{run.system} fold {run.fold + 1}")

    failures = []
    for run, error, seconds in _executed(study, waiting, workers, advance):
        advance(run, 1.0)
        if error is None:
            log.info("%s: done in %.0f s", run.place, seconds)
        else:
            log.error("%s: %s", run.place, error)
            failures.append(f"{run.place}: {error}")
    if failures:
        raise InputError("\n  ".join([f"{len(failures)} runs failed; correct it and go on by --resume", *failures]))


def _cost(study: Study, run: Run) -> float:
    share = 1.0 if not run.annotated else run.annotated / len(study.patients)
    return SYSTEMS[run.system].cost * max(share, LEAST_SHARE)


def _executed(
    study: Study, waiting: Sequence[Run], workers: int, advance: Callable[[Run, float], None]
) -> Iterator[Ended]:
    """Yield finished runs, in the order they finish."""
    if workers <= 1:
        for run in waiting:
            yield run, *_guarded(study, run, lambda share, line, one=run: advance(one, share))  # type: ignore[misc]
        return
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with context.Manager() as manager, ProcessPoolExecutor(workers, context, _begin, (workers,)) as pool:
        messages = manager.Queue()
        yield from _collected(pool, study, waiting, messages, advance)


def _collected(
    pool: Executor, study: Study, waiting: Sequence[Run], messages: Any, advance: Callable[[Run, float], None]
) -> Iterator[Ended]:
    pending: dict[Future[tuple[str | None, float]], Run] = {
        pool.submit(_in_worker, study, run, messages): run for run in waiting
    }
    try:
        while pending:
            done, _ = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            try:
                while True:
                    advance(*messages.get_nowait())
            except queue.Empty:
                pass
            for future in done:
                yield pending.pop(future), *future.result()
    except BrokenProcessPool as error:
        raise InputError(
            "a worker was killed, most likely for memory; go on by --resume with fewer --workers"
        ) from error
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _begin(workers: int) -> None:
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


def _in_worker(study: Study, run: Run, messages: Any) -> tuple[str | None, float]:
    return _guarded(study, run, lambda share, line: messages.put((run, share)))


def _guarded(study: Study, run: Run, report: Callable[[float, str], None]) -> tuple[str | None, float]:
    start, error = time.monotonic(), None
    try:
        system = SYSTEMS[run.system]
        execute(run, system, study.train_patients(run), study.test_patients(run), study.plan, study.folder, report)
    except InputError as refused:
        error = str(refused)
    except Exception as bug:  # a bug in one system must not stop the other runs
        log = study.folder / run.place.with_name(f"{run.place.name}.log")
        with open(log, "a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
        error = f"{type(bug).__name__}: {bug} (see {log})"
    return error, time.monotonic() - start


def _open_log(folder: Path) -> logging.Logger:
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    handler = logging.FileHandler(folder / LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger
