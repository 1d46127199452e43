"""Cross-validation of all systems, in parallel and resumable."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import queue
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wslpet.analysis.statistics import folds
from wslpet.core.arrays import Array
from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.settings import Settings, settings_from
from wslpet.data.cohort_table import Row, find_table, read_table, types_in
from wslpet.study.design.patients import Patient, kept_patient
from wslpet.study.design.plan import Plan, plan_from
from wslpet.study.execution.runs import Run, all_runs, execute, is_kept
from wslpet.study.systems import SYSTEMS
from wslpet.study.systems.system import System

# Systems of the learning curve.
CURVE_SYSTEMS = ("ours", "unet")
FILE = "study.json"
LOG = "study.log"
# Least share of a run's cost: its test patients take that long, however few patients it learns from.
LEAST_SHARE = 0.25

logger = logging.getLogger(__name__)

# (seconds of work done, seconds of all work).
Progress = Callable[[float, float, str], Any]
# A run, what went wrong or None, and its seconds.
Ended = tuple[Run, str | None, float]


@dataclass(frozen=True, eq=False)
class Study:
    """A study: its patients, folds and systems.

    Parameters
    ----------
    folder : everything that it writes.
    plan : its budget.
    patients : in the table's order.
    names : of its systems.
    fold_of : (patient,) the fold whose test set each patient is in, from 0.
    """

    folder: Path
    plan: Plan
    patients: tuple[Patient, ...]
    names: tuple[str, ...]
    fold_of: Array

    @property
    def systems(self) -> list[System]:
        """In the order of the tables."""
        return [SYSTEMS[name] for name in self.names]

    def runs(self) -> list[Run]:
        """Runs of the cross-validation first, then those of the learning curve."""
        smallest = len(self.patients) - int(np.bincount(self.fold_of).max())
        return list(all_runs(self.systems, self.plan, CURVE_SYSTEMS, smallest))

    def train_patients(self, run: Run) -> list[Patient]:
        """Training patients of a run; smaller training sets are subsets of larger ones, balanced over the types."""
        others = [p for p, fold in zip(self.patients, self.fold_of, strict=True) if fold != run.fold]
        if not run.annotated:
            return others
        order = np.random.default_rng((self.plan.seed, run.fold)).permutation(len(others))
        by_type = [[others[i] for i in order if others[i].cancer_type == name] for name in self.plan.types]
        turns = [p for turn in range(len(others)) for own in by_type for p in own[turn : turn + 1]]
        return turns[: run.annotated]

    def test_patients(self, run: Run) -> list[Patient]:
        """Test patients of a run."""
        return [p for p, fold in zip(self.patients, self.fold_of, strict=True) if fold == run.fold]


def open_study(
    cohort: Path,
    folder: Path,
    plan: str = "small",
    seed: int = 0,
    n_folds: int | None = None,
    systems: Sequence[str] = (),
    resume: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
) -> Study:
    """Read a cohort, cache what the systems need, and assign the folds.

    Parameters
    ----------
    cohort : table, or its folder.
    plan : a name of `wslpet.study.design.plan.PLANS`.
    systems : names; none is all of them.
    resume : continue with the runs in the folder.

    Raises
    ------
    InputError
        naming all rows that cannot be used; or when the folder holds a study and `resume` is not set, or another one.
    """
    unknown = sorted(set(systems) - set(SYSTEMS))
    if unknown:
        raise InputError(f"systems {', '.join(unknown)} do not exist; known are {', '.join(SYSTEMS)}")
    table = find_table(cohort)
    types = types_in(table)
    if len(types) < 2:
        raise InputError(
            f"{table}: one cancer type, {', '.join(types)}; telling two or more apart is what is learned from"
        )
    made = plan_from(plan, types, seed, n_folds)
    rows, problems = read_table(table, (*types, NO_TUMOUR))
    stamp = _stamp(rows, made)
    check_place(folder, stamp, resume)
    patients = _kept(rows, problems, folder / "cache", made, workers, progress)
    if problems:
        raise InputError(
            "\n  ".join([f"{table}: {len(problems)} rows cannot be used; correct or delete them", *problems])
        )
    claim(folder, stamp)
    strata = [(patient.cancer_type, patient.row.outcome) for patient in patients]
    fold_of = np.empty(len(patients), dtype=int)
    for number, test in enumerate(folds(strata, [patient.row.patient for patient in patients], made.folds, seed)):
        fold_of[test] = number
    chosen = tuple(name for name in SYSTEMS if not systems or name in systems)
    return Study(folder, made, tuple(patients), chosen, fold_of)


def _stamp(rows: Sequence[Row], plan: Plan) -> dict[str, Any]:
    """Everything that the results of a study depend on, to tell whether it can be resumed."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(
            f"{row.name}|{row.scan}|{row.mask}|{row.seed.cancer_type}|{row.seed.position}|{row.outcome}\n".encode()
        )
    return {"plan": plan.to_dict(), "cohort": digest.hexdigest()}


def check_place(folder: Path, stamp: dict[str, Any], resume: bool) -> None:
    """Refuse a folder that holds a study that is not to be resumed, or another one.

    Raises
    ------
    InputError
        when it does.
    """
    file = folder / FILE
    if not file.exists():
        return
    if not resume:
        raise InputError(f"{folder} holds a study already; go on with it by --resume, or give another --out")
    if json.loads(file.read_text(encoding="utf-8")) != stamp:
        raise InputError(f"{folder} holds a study of another cohort or plan; give another --out")


def claim(folder: Path, stamp: dict[str, Any]) -> None:
    """Write what a study is of into its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{FILE}.part"
    temporary.write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, folder / FILE)


def _kept(
    rows: Sequence[Row], problems: list[str], cache: Path, plan: Plan, workers: int, progress: Progress | None
) -> list[Patient]:
    patients, keep = [], partial(_kept_or_refused, cache=cache, settings=settings_from(types=plan.types))
    with ThreadPoolExecutor(workers) as pool:
        for number, (row, kept) in enumerate(zip(rows, pool.map(keep, rows), strict=True), start=1):
            if isinstance(kept, Patient):
                patients.append(kept)
            else:
                problems.append(f"row {row.number}: {kept}")
            if progress is not None:
                progress(number, len(rows), row.name)
    return patients


def _kept_or_refused(row: Row, cache: Path, settings: Settings) -> Patient | InputError:
    try:
        return kept_patient(row, cache, settings)
    except InputError as error:
        return error


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
