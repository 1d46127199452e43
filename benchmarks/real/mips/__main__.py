"""Learning from clicks on real MIPs, judged by experts' masks (python -m benchmarks.real.mips).

`--folds 5 DIR` divides the people of a cohort; `--train DIR --test DIR` learns from one and judges on another. A cohort
is a folder as `wslpet.data.mip_cohort` reads it, with masks. What was judged is kept in `--cache`, so that a run that
was stopped goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: the workers share the cores

import numpy as np

from benchmarks.real.mips.cohort import Cohort, load
from benchmarks.real.mips.judging import Outcome, judge
from benchmarks.real.mips.report import print_table, summary, write_page
from benchmarks.real.mips.systems import LEARNERS, SYSTEMS, VARIANTS, Effort, predictions
from wslpet.analysis.statistics import folds

ALL = "all"


@dataclass(frozen=True)
class Job:
    """One system that learns once. size : number of clicked patients, or 0 for all."""

    system: str
    size: int
    fold: int
    learn_from: tuple[int, ...]
    judged: tuple[int, ...]

    @property
    def key(self) -> str:
        people = hashlib.sha256(repr((self.learn_from, self.judged)).encode()).hexdigest()[:8]
        return f"{self.system}-{self.size or ALL}-{self.fold}-{people}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, judge, print, write."""
    args = _parser().parse_args(arguments)
    train, test, parts = _divided(args)
    effort = Effort(args.steps, args.epochs)
    jobs = [
        Job(system, size, number, tuple(_some(train, learn_from, size)), tuple(judged))
        for number, (learn_from, judged) in enumerate(parts)
        for system in args.systems
        for size in (args.sizes if system.split("-")[0] in LEARNERS else (0,))
    ]
    store = args.cache / hashlib.sha256(repr((effort, args.train, args.test, args.cohort)).encode()).hexdigest()[:8]
    outcomes = _run(jobs, train, test, effort, store, args.workers)
    result = summary(outcomes)
    print_table(result)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    if args.page:
        write_page(args.page, result)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.real.mips", description=__doc__)
    parser.add_argument("cohort", type=Path, nargs="?", metavar="DIR", help="with --folds")
    parser.add_argument("--folds", type=int, metavar="N")
    parser.add_argument("--only", type=int, nargs="+", metavar="FOLD", help="some of the folds, from 0")
    parser.add_argument("--train", type=Path, metavar="DIR")
    parser.add_argument("--test", type=Path, metavar="DIR")
    known = [*SYSTEMS, *(f"one_click-{part}" for part in VARIANTS)]
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=known)
    parser.add_argument("--sizes", type=_sizes, default=[0], help="numbers of clicked patients, such as 10,20,40,all")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--page", type=Path, metavar="FILE.html")
    parser.add_argument("--cache", type=Path, default=Path("work/real_mips"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=Effort.steps, help="of each network")
    parser.add_argument("--epochs", type=int, default=Effort.epochs, help="of the CAM network")
    return parser


def _sizes(text: str) -> list[int]:
    return [0 if part == ALL else int(part) for part in text.split(",")]


def _divided(args: argparse.Namespace) -> tuple[Cohort, Cohort, list[tuple[list[int], list[int]]]]:
    if args.folds and args.cohort and not (args.train or args.test):
        cohort = load(args.cohort, args.cache, args.workers)
        strata = [person.cancer_type for person in cohort.people]
        tests = folds(strata, [person.person for person in cohort.people], args.folds)
        parts = [(np.setdiff1d(np.arange(len(strata)), test).tolist(), test.tolist()) for test in tests]
        return cohort, cohort, [part for k, part in enumerate(parts) if args.only is None or k in args.only]
    if args.train and args.test and not (args.folds or args.cohort):
        train, test = (load(folder, args.cache, args.workers) for folder in (args.train, args.test))
        return train, test, [(list(range(len(train.people))), list(range(len(test.people))))]
    raise SystemExit("give --folds N DIR, or --train DIR --test DIR")


def _some(cohort: Cohort, numbers: list[int], size: int) -> list[int]:
    """All lesion-free people, and `size` patients drawn at random."""
    ill = [k for k in numbers if cohort.ill[k]]
    chosen = set(np.random.default_rng(0).permutation(ill)[: size or None].tolist())
    return [k for k in numbers if not cohort.ill[k] or k in chosen]


_work: tuple[Cohort, Cohort, Effort] | None = None


def _run(
    jobs: list[Job], train: Cohort, test: Cohort, effort: Effort, store: Path, workers: int
) -> dict[tuple[str, int], list[Outcome]]:
    """Outcomes of each system and size, of all folds; finished jobs are read from the store."""
    global _work
    _work = train, test, effort  # inherited by the processes
    store.mkdir(parents=True, exist_ok=True)
    start, done = time.monotonic(), {}
    to_do = [job for job in jobs if not (store / f"{job.key}.json").is_file()]
    with ProcessPoolExecutor(workers) as pool:
        waiting = {pool.submit(_judged, job, store): job for job in to_do}
        for number, one in enumerate(as_completed(waiting), start=1):
            job = waiting[one]
            one.result()
            minutes = (time.monotonic() - start) / 60
            print(
                f"[{number}/{len(to_do)}] {job.system} {job.size or ALL} fold {job.fold}: {minutes:.1f} min", flush=True
            )
    for job in jobs:
        rows = json.loads((store / f"{job.key}.json").read_text())
        done.setdefault((job.system, job.size), []).extend(Outcome(**row) for row in rows)
    return done


def _judged(job: Job, store: Path) -> None:
    import torch

    torch.set_num_threads(1)
    assert _work is not None
    train, test, effort = _work
    found = predictions(job.system, train, list(job.learn_from), test, list(job.judged), effort)
    rows: list[dict[str, Any]] = [
        judge(test.people[k], prediction).to_json() for k, prediction in zip(job.judged, found, strict=True)
    ]
    path = store / f"{job.key}.json"
    path.with_suffix(".part").write_text(json.dumps(rows))
    path.with_suffix(".part").replace(path)


if __name__ == "__main__":
    main()
