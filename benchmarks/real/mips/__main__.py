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
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: the workers share the cores

from benchmarks.real.mips.report import print_table, summary, write_page
from wslpet.core.errors import InputError
from wslpet.study.mips.cohort import Cohort, load
from wslpet.study.mips.runs import ALL, Run, Task, execute, outcomes_of
from wslpet.study.mips.systems.case import Effort
from wslpet.study.mips.systems.ours import CLICKS, VARIANTS
from wslpet.study.mips.systems.registry import SYSTEMS

LEARNERS = (*CLICKS, "full_masks")
# The yardstick; `wslpet study` compares more.
DEFAULT = (*LEARNERS, "cam_distance", "shipped", "shipped_cam", "atlas", "threshold")


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, judge, print, write."""
    args = _parser().parse_args(arguments)
    train, test, parts = _divided(args)
    effort = Effort(steps=args.steps, epochs=args.epochs)
    runs = [
        Run(system, size, number, tuple(train.some(learn_from, size)), tuple(judged))
        for number, (learn_from, judged) in enumerate(parts)
        for system in args.systems
        for size in (args.sizes if system.split("-")[0] in LEARNERS else (0,))
    ]
    store = args.cache / hashlib.sha256(repr((effort, args.train, args.test, args.cohort)).encode()).hexdigest()[:8]
    task = Task(train, test, effort, store)
    execute(runs, task, args.workers)
    outcomes: dict[tuple[str, int], list] = {}
    for run in runs:
        outcomes.setdefault((run.system, run.size), []).extend(outcomes_of(run, task))
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
    known = [*SYSTEMS, *(f"{clicks}-{part}" for clicks in CLICKS for part in VARIANTS)]
    parser.add_argument("--systems", nargs="+", default=list(DEFAULT), choices=known)
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
        cohort = _loaded(args.cohort, args)
        parts = cohort.parts(args.folds)
        return cohort, cohort, [part for k, part in enumerate(parts) if args.only is None or k in args.only]
    if args.train and args.test and not (args.folds or args.cohort):
        train, test = (_loaded(folder, args) for folder in (args.train, args.test))
        return train, test, [(list(range(len(train.people))), list(range(len(test.people))))]
    raise SystemExit("give --folds N DIR, or --train DIR --test DIR")


def _loaded(folder: Path, args: argparse.Namespace) -> Cohort:
    try:
        return load(folder, args.cache, args.workers)
    except InputError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
