"""A run: one system that learns and is judged once, kept as one file, so that a study that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wslpet.core.arrays import BoolArray
from wslpet.data.mip_cohort import MipPerson
from wslpet.study.mips.cohort import Cohort
from wslpet.study.mips.judging import Outcome, Prediction, judge, without_specks
from wslpet.study.mips.systems.case import Case, Effort, print_line
from wslpet.study.mips.systems.registry import is_control, predictions, shuffled

ALL = "all"


@dataclass(frozen=True)
class Run:
    """One system that learns once.

    Parameters
    ----------
    system : its name.
    size : number of clicked patients, or 0 for all.
    fold : from 0.
    learn_from, judged : numbers of people.
    repeat : 0, or the number of a repeat with other folds and another random seed.
    """

    system: str
    size: int
    fold: int
    learn_from: tuple[int, ...]
    judged: tuple[int, ...]
    repeat: int = 0

    @property
    def key(self) -> str:
        """Name of its file; it changes with the people."""
        people = hashlib.sha256(repr((self.learn_from, self.judged)).encode()).hexdigest()[:8]
        repeat = f"-repeat{self.repeat}" if self.repeat else ""
        return f"{self.system}-{self.size or ALL}-{self.fold}-{people}{repeat}"


@dataclass(frozen=True, eq=False)
class Task:
    """What all runs share.

    Parameters
    ----------
    train, test : the cohorts that are learned from, and judged on; the same one with folds.
    effort : how long the systems learn.
    store : folder of the files.
    smallest_mm2 : of the components of a mask; see `judge`.
    """

    train: Cohort
    test: Cohort
    effort: Effort
    store: Path
    smallest_mm2: float = 0.0

    def file(self, run: Run) -> Path:
        """Where a run is kept."""
        return self.store / f"{run.key}.json"

    def masks(self, run: Run) -> Path:
        """Where the predicted masks of a run are kept, for pictures; nothing else needs them."""
        return self.store.parent / "masks" / f"{run.key}.npz"

    def is_kept(self, run: Run) -> bool:
        """Whether a run is done."""
        return self.file(run).is_file()


_task: Task | None = None


def execute(
    runs: Iterable[Run], task: Task, workers: int = 1, progress: Callable[[int, int, Run], None] | None = None
) -> None:
    """Execute the runs that are not kept yet.

    Parameters
    ----------
    progress : called with the number of runs done, that of all to do, and the run.
    """
    global _task
    _task = task  # inherited by the processes
    task.store.mkdir(parents=True, exist_ok=True)
    to_do = [run for run in runs if not task.is_kept(run)]
    show = progress or _Printed(time.monotonic())
    if workers <= 1:
        for number, run in enumerate(to_do, start=1):
            _executed(run, threads=None)
            show(number, len(to_do), run)
        return
    with ProcessPoolExecutor(workers) as pool:
        waiting = {pool.submit(_executed, run, max(1, (os.cpu_count() or 1) // workers)): run for run in to_do}
        for number, one in enumerate(as_completed(waiting), start=1):
            one.result()
            show(number, len(to_do), waiting[one])


@dataclass(frozen=True)
class _Printed:
    start: float

    def __call__(self, done: int, total: int, run: Run) -> None:
        minutes = (time.monotonic() - self.start) / 60
        print(f"[{done}/{total}] {run.system} {run.size or ALL} fold {run.fold}: {minutes:.1f} min", flush=True)


def _executed(run: Run, threads: int | None) -> None:
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    assert _task is not None
    start = time.process_time()
    log: list[str] = []

    def report(line: str) -> None:
        log.append(line)
        print_line(line)

    effort = replace(_task.effort, seed=_task.effort.seed + run.repeat)
    case = Case(run.system, _task.train, run.learn_from, _task.test, run.judged, effort, report)
    if is_control(run.system):
        case = shuffled(case)
    found = predictions(case)
    seconds = time.process_time() - start
    people = [case.test.people[k] for k in run.judged]
    rows = [judge(person, one, _task.smallest_mm2).to_json() for person, one in zip(people, found, strict=True)]
    _keep_masks(_task.masks(run), people, found, _task.smallest_mm2)
    path = _task.file(run)
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"cpu_seconds": round(seconds, 1), "log": log, "people": rows}))
    part.replace(path)


def _keep_masks(path: Path, people: list[MipPerson], found: list[Prediction], smallest_mm2: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    masks = {
        person.name: without_specks(one.mask, person.image.spacing, smallest_mm2)
        for person, one in zip(people, found, strict=True)
        if one.mask is not None
    }
    part = path.with_suffix(".part")
    with open(part, "wb") as file:
        np.savez_compressed(file, **masks)  # type: ignore[arg-type]
    part.replace(path)


def mask_of(run: Run, task: Task, name: str) -> BoolArray | None:
    """(row, column) the mask that a run predicted of a person; None where none was kept."""
    path = task.masks(run)
    if not path.is_file():
        return None
    with np.load(path) as masks:
        return np.asarray(masks[name], dtype=bool) if name in masks else None


def outcomes_of(run: Run, task: Task) -> list[Outcome]:
    """What was judged in a run."""
    return [Outcome(**row) for row in json.loads(task.file(run).read_text())["people"]]


def log_of(run: Run, task: Task) -> list[str]:
    """Lines of the training."""
    lines: list[str] = json.loads(task.file(run).read_text()).get("log", [])
    return lines


def seconds_of(run: Run, task: Task) -> float | None:
    """CPU time of a run, to learn and to predict, on the machine that it ran on; None where it is not known."""
    seconds = json.loads(task.file(run).read_text()).get("cpu_seconds")
    return None if seconds is None else float(seconds)
