"""A study on a cohort of MIPs: folds that are the same for all systems, budgets, what is kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from wslpet.core.errors import InputError
from wslpet.study.design.study import check_place, claim
from wslpet.study.mips.cohort import Cohort, load
from wslpet.study.mips.judging import Outcome
from wslpet.study.mips.runs import Run, Task, execute, log_of, outcomes_of, seconds_of
from wslpet.study.mips.systems.case import Effort
from wslpet.study.mips.systems.registry import SYSTEMS, system_of

FOLDS = 5
# Components of a predicted mask smaller than a disc of 6 mm, about the resolution of PET, are left out.
SMALLEST_MM2 = 28.0
# The system that all others are compared with.
REFERENCE = "one_click"
# Control: ours from labels that were shuffled, without the shipped segmenter, which knows lesions from elsewhere.
CONTROL = "one_click-shipped+shuffled"
# Systems that depend on folds or on random numbers, and learn again with other ones; cheap ones first.
REPEATED = ("threshold", "atlas", REFERENCE, "cam_distance", CONTROL)
# Cheap ones first, so that a study that was stopped has a table. Those of a group share a network in each fold.
ORDER = (
    ("threshold",),
    ("atlas",),
    ("click_41",),
    ("shipped",),
    ("shipped_cam",),
    ("cams", "cams_told", "cams_fcn"),
    ("cams_shipped", "cams_fcn_shipped"),
    ("paper",),
    ("unet",),
    (REFERENCE,),
    ("full_masks",),
    ("every_lesion",),
    ("cam_distance",),
    (CONTROL,),
)
EFFORTS = {
    # About an hour of CPU in all; ours learns as by default.
    "small": Effort(control_steps=200, cam_epochs=15, paper_epochs=20, fcn_epochs=4, unet_steps=500),
    "full": Effort(),
    # Every loop, and nothing else: tests that a cohort can be read and a report written.
    "try": Effort(steps=4, control_steps=4, epochs=1, cam_epochs=1, paper_epochs=1, fcn_epochs=1, unet_steps=4),
}
# Numbers of clicked patients of the learning curve.
CURVE = (10, 20, 40, 80)
CURVE_SYSTEMS = (REFERENCE, "unet")


@dataclass(frozen=True, eq=False)
class MipStudy:
    """A study on MIPs.

    Parameters
    ----------
    folder : everything that it writes.
    task : cohort, budget and store.
    folds : of the cross-validation.
    names : its systems, in the order of the tables.
    curve : whether systems of `CURVE_SYSTEMS` also learn from fewer patients.
    repeats : how often the systems of `REPEATED` learn, each time with other folds and another random seed.
    """

    folder: Path
    task: Task
    folds: int
    names: tuple[str, ...]
    curve: bool = False
    repeats: int = 1

    @property
    def cohort(self) -> Cohort:
        """The people."""
        return self.task.train

    def runs(self) -> list[Run]:
        """Every run, the folds of one group of systems after the other; then repeats and the learning curve."""
        seed = self.task.effort.seed
        parts = list(enumerate(self.cohort.parts(self.folds, seed)))
        others = tuple((name,) for name in self.names if not any(name in group for group in ORDER))
        runs = [
            Run(name, 0, fold, tuple(a), tuple(b))
            for group in (*ORDER, *others)
            for fold, (a, b) in parts
            for name in group
            if name in self.names
        ]
        runs += [
            Run(name, 0, fold, tuple(a), tuple(b), repeat)
            for repeat in range(1, self.repeats)
            for name in REPEATED
            if name in self.names
            for fold, (a, b) in enumerate(self.cohort.parts(self.folds, seed + repeat))
        ]
        if self.curve:
            runs += [
                Run(name, size, fold, tuple(self.cohort.some(a, size, seed)), tuple(b))
                for fold, (a, b) in parts
                for size in CURVE
                for name in CURVE_SYSTEMS
                if name in self.names
            ]
        return runs

    def outcomes(self, name: str, size: int = 0, repeat: int = 0, folds: Sequence[int] | None = None) -> list[Outcome]:
        """What was judged of a system in the folds that are done, or in some of them."""
        kept = [run for run in self.kept(name, size, repeat) if folds is None or run.fold in folds]
        return [one for run in kept for one in outcomes_of(run, self.task)]

    def single_runs(self, name: str) -> list[list[Outcome]]:
        """What was judged of a system, each fold and each repeat by itself."""
        kept = [run for repeat in range(self.repeats) for run in self.kept(name, repeat=repeat)]
        return [outcomes_of(run, self.task) for run in kept]

    def curve_folds(self) -> list[int]:
        """The folds in which each system of the learning curve has learned from all of its numbers of patients."""
        points = [(name, size) for name in self.curve_systems() for size in (*self.curve_sizes(name), 0)]
        done = [{run.fold for run in self.kept(name, size)} for name, size in points]
        return sorted(set.intersection(*done)) if done else []

    def curve_systems(self) -> list[str]:
        """The systems of the learning curve that have learned from fewer patients in any fold."""
        return [name for name in CURVE_SYSTEMS if name in self.names and self.curve_sizes(name)]

    def curve_sizes(self, name: str) -> list[int]:
        """The numbers of patients from which a system of the learning curve has learned in any fold."""
        return [size for size in CURVE if self.kept(name, size)]

    def seconds(self, name: str) -> float | None:
        """Mean CPU time of a fold, to learn and to predict; None where it is not known."""
        times = [seconds_of(run, self.task) for run in self.kept(name)]
        known = [time for time in times if time is not None]
        return sum(known) / len(known) if known else None

    def log(self, name: str) -> list[str]:
        """Lines of the trainings of all folds that are done."""
        return [line for run in self.kept(name) for line in log_of(run, self.task)]

    def folds_done(self, name: str) -> int:
        """Number of folds that are done."""
        return len(self.kept(name))

    def kept(self, name: str, size: int = 0, repeat: int = 0) -> list[Run]:
        """The runs of a system that are done."""
        asked = (name, size, repeat)
        return [run for run in self._all if (run.system, run.size, run.repeat) == asked and self.task.is_kept(run)]

    @cached_property
    def _all(self) -> list[Run]:
        return self.runs()


def open_mip_study(
    cohort: Path,
    folder: Path,
    plan: str = "small",
    seed: int = 0,
    n_folds: int | None = None,
    systems: Sequence[str] = (),
    resume: bool = False,
    workers: int = 1,
    curve: bool = False,
    repeats: int = 1,
    smallest_mm2: float = SMALLEST_MM2,
) -> MipStudy:
    """Read a cohort of MIPs with masks, place everybody in the frame of the body, and assign the folds.

    Parameters
    ----------
    plan : a name of `EFFORTS`.
    systems : names; none is all of them, and the control.
    curve, repeats : see `MipStudy`.
    smallest_mm2 : of the components of a predicted mask, of every system alike; smaller ones are left out.

    Raises
    ------
    InputError
        when a system or plan does not exist, the cohort cannot be used, or the folder holds another study.
    """
    if plan not in EFFORTS:
        raise InputError(f"plan {plan!r} is not one of {', '.join(EFFORTS)}")
    names = tuple(systems) or (*SYSTEMS, CONTROL)
    for name in names:
        system_of(name)
    listed = [name for name in SYSTEMS if name in names]
    effort = Effort(**{**asdict(EFFORTS[plan]), "seed": seed})
    number = FOLDS if n_folds is None else n_folds
    stamp = _stamp(cohort, effort, number, smallest_mm2)
    check_place(folder, stamp, resume)
    people = load(cohort, folder / "cache", workers)
    claim(folder, stamp)
    task = Task(people, people, effort, folder / "runs", smallest_mm2)
    chosen = (*listed, *(name for name in names if name not in SYSTEMS))
    return MipStudy(folder, task, number, chosen, curve, repeats)


def _stamp(cohort: Path, effort: Effort, number: int, smallest_mm2: float) -> dict[str, Any]:
    """Everything that the results depend on, to tell whether the study can be resumed."""
    digest = hashlib.sha256((cohort / "cohort.csv").read_bytes()) if (cohort / "cohort.csv").is_file() else None
    made = {"effort": asdict(effort), "folds": number, "smallest_mm2": smallest_mm2}
    return {**made, "cohort": digest.hexdigest() if digest else ""}


def make_mip_study(study: MipStudy, workers: int = 1, progress: Callable[[int, int, Run], None] | None = None) -> None:
    """Execute every run that is not on disk yet."""
    execute(study.runs(), study.task, workers, progress)


def plan_of(study: MipStudy) -> str:
    """The budget, as JSON."""
    return json.dumps({**asdict(study.task.effort), "folds": study.folds, "smallest_mm2": study.task.smallest_mm2})
