"""A study: its patients, cross-validation folds, systems and runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from wslpet.study.execution.runs import Run, all_runs
from wslpet.study.systems import SYSTEMS
from wslpet.study.systems.system import System

# Systems of the learning curve.
CURVE_SYSTEMS = ("ours", "unet")
FILE = "study.json"

# (seconds of work done, seconds of all work).
Progress = Callable[[float, float, str], Any]


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
