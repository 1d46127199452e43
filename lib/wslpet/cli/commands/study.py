"""`wslpet study`: run the paper's comparison on a cohort of scans, or of MIPs, and write the report."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def add_to(commands: Any) -> None:
    """Add the subcommand's parser."""
    study = commands.add_parser("study", help="compare the systems of the paper on a cohort, in cross-validation")
    study.add_argument(
        "cohort", type=Path, help="table of scans, types, seeds, masks and outcomes, or its folder; or a folder of MIPs"
    )
    study.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="for runs, tables, figures and the report"
    )
    study.add_argument("--plan", default="small", help="how much is trained: small (default), full or try")
    study.add_argument("--folds", type=int, metavar="N", help="default: the plan's, 5")
    study.add_argument("--seed", type=int, default=0, metavar="S", help="of folds, training and bootstrap")
    study.add_argument("--systems", default="", help="names separated by commas (default: all)")
    study.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="runs at a time")
    study.add_argument("--resume", action="store_true", help="go on with what is in DIR")
    study.add_argument("--curve", action="store_true", help="of MIPs: learn from 10, 20, 40 and 80 patients as well")
    study.add_argument(
        "--repeats", type=int, default=1, metavar="N", help="of MIPs: learn N times, other folds and seeds"
    )
    study.add_argument("--specks", type=float, metavar="MM2", help="of MIPs: least component of a mask (default: 28)")
    study.add_argument("--report-only", action="store_true", help="of MIPs: report the folds that are done")
    study.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    """Prepare the patients, execute every run without a stored result, write the report."""
    from wslpet.core.errors import InputError
    from wslpet.data.mip_cohort import is_mip_cohort

    if is_mip_cohort(args.cohort):
        return _run_on_mips(args)
    if args.curve or args.report_only or args.repeats != 1 or args.specks is not None:
        asked = "--curve, --repeats, --specks and --report-only"
        raise InputError(f"{args.cohort} is no cohort of MIPs; {asked} are for one: leave them out")
    return _run_on_scans(args)


def _names(args: argparse.Namespace) -> tuple[str, ...]:
    return tuple(name.strip() for name in args.systems.split(",") if name.strip())


def _command() -> list[str]:
    return ["python", "-m", "wslpet", *sys.argv[1:]]


def _run_on_mips(args: argparse.Namespace) -> None:
    from wslpet.study.mips.report.report import write_mip_report
    from wslpet.study.mips.study import SMALLEST_MM2, make_mip_study, open_mip_study

    names, specks = _names(args), SMALLEST_MM2 if args.specks is None else args.specks
    study = open_mip_study(
        args.cohort,
        args.out,
        args.plan,
        args.seed,
        args.folds,
        names,
        args.resume,
        args.workers,
        args.curve,
        args.repeats,
        specks,
    )
    if not args.report_only:
        make_mip_study(study, args.workers)
    page = write_mip_report(study, _command())
    done = sum(study.folds_done(name) > 0 for name in study.names)
    print(f"{page}: {done} systems, {len(study.cohort.people)} people, {study.folds} folds")


def _run_on_scans(args: argparse.Namespace) -> None:
    from wslpet.data.cohort_table import find_table, sources_in
    from wslpet.study.design.study import open_study
    from wslpet.study.execution.schedule import make_study
    from wslpet.study.execution.stability import measured_stability
    from wslpet.study.report.report import write_report
    from wslpet.study.results.results import read_results

    chosen = _names(args)
    with _bar("patient", "prepare") as show_progress:
        study = open_study(
            args.cohort, args.out, args.plan, args.seed, args.folds, chosen, args.resume, args.workers, show_progress
        )
    with _bar("s", "runs") as show_progress:
        make_study(study, args.workers, show_progress)
    with _bar("patient", "stability of features") as show_progress:
        stability = measured_stability(study, lambda done, total: show_progress(done, total, ""))
    print("outcome, tests and figures ...", file=sys.stderr)
    sources = sources_in(find_table(args.cohort))
    data = f"{len(study.patients)} {' and '.join(sources)} patients" if sources else f"{len(study.patients)} patients"
    page = write_report(read_results(study, stability), f"{data} ({find_table(args.cohort).name})", _command())
    print(f"{page}: {len(study.systems)} systems, {len(study.patients)} patients, {study.plan.folds} folds")


@contextmanager
def _bar(unit: str, what: str) -> Iterator[Any]:
    """Make a progress bar with a callback (done, total, description)."""
    from tqdm import tqdm

    # In seconds on the machine the costs were measured on; the time left is scaled to this machine.
    shape = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} gone, {remaining} left {postfix}"
    with tqdm(unit=unit, desc=what, bar_format=shape) as bar:

        def show_progress(done: float, total: float, now: str) -> None:
            bar.total = total
            bar.set_postfix_str(now, refresh=False)
            bar.update(done - bar.n)

        yield show_progress
