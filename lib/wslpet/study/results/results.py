"""Results of a study, read from its runs: Dice, intervals, tests, outcome prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from wslpet.analysis.statistics import Estimate, bootstrap, holm, paired_p, rank_biserial, wilson
from wslpet.core.arrays import Array
from wslpet.study.design.study import CURVE_SYSTEMS, Study
from wslpet.study.execution.runs import Measured, Run, features_in, is_kept, measured_in
from wslpet.study.execution.stability import Stability
from wslpet.study.results.outcomes import Known, Outcome, Shuffled, has_outcome, outcome_of, shuffled
from wslpet.study.systems import SYSTEMS
from wslpet.study.systems.system import System

# The system that all others are compared with.
REFERENCE = "ours"


@dataclass(frozen=True, eq=False)
class SystemResults:
    """One system on all patients, in the cohort's order.

    Parameters
    ----------
    measured : one entry for each patient.
    outcomes : cancer type → outcome prediction, or the reason why there is none.
    """

    system: System
    measured: tuple[Measured, ...]
    outcomes: dict[str, Outcome | str] = field(default_factory=dict)

    def dice(self, cancer_type: str | None = None) -> Array:
        """(patient,) Dice of the patients of one type, or of all."""
        return np.array([one.dice for one in self.measured if cancer_type in (None, one.cancer_type)])

    def each(self, of: Callable[[Measured], float]) -> Array:
        """(patient,) any quantity."""
        return np.array([of(one) for one in self.measured], dtype=float)

    @property
    def names_types(self) -> bool:
        """Whether the system predicts the cancer type."""
        return any(one.predicted for one in self.measured)

    @property
    def learned_types(self) -> bool:
        """Whether a system that needs the type tells it better than the most frequent type would.

        Wilson's 95 % interval of the type accuracy lies above that type's share; true of systems that do not need it.
        """
        if not self.system.needs_type:
            return True
        right = sum(one.predicted == one.cancer_type for one in self.measured)
        return wilson(right, len(self.measured)).low > self.commonest_share

    @property
    def commonest_share(self) -> float:
        """Share of the most frequent type among the patients."""
        types = [one.cancer_type for one in self.measured]
        return max(types.count(name) for name in types) / len(types)


@dataclass(frozen=True)
class CurvePoint:
    """One point of the learning curve: Dice of a system against its number of training patients."""

    system: str
    annotated: int
    dice: Estimate


@dataclass(frozen=True, eq=False)
class Results:
    """The results of a whole study.

    Parameters
    ----------
    systems : name → results, in the order of the tables.
    curve : by system, then number of patients.
    leakage_system : name of the system whose features are tested for leakage: ours, or else the first with features.
    shuffled : cancer type → the permutation test, or the reason why there is none.
    stability : of features; None if it was not measured.
    """

    study: Study
    systems: dict[str, SystemResults]
    curve: tuple[CurvePoint, ...]
    leakage_system: str | None
    shuffled: dict[str, Shuffled | str]
    stability: Stability | None

    @property
    def reference(self) -> SystemResults | None:
        """Results of the reference system; None where it was not run."""
        return self.systems.get(REFERENCE)

    def fold_sd(self, values: Array, cancer_type: str | None = None) -> float:
        """SD over the folds of the folds' mean values, for the patients of a type, or all."""
        own = np.array([cancer_type in (None, patient.cancer_type) for patient in self.study.patients])
        of = self.study.fold_of[own]
        means = [values[of == fold].mean() for fold in np.unique(of)]
        return float(np.std(means, ddof=1)) if len(means) > 1 else float("nan")

    def dice_p(self, name: str, cancer_type: str | None = None) -> float | None:
        """Wilcoxon's p of a system's Dice and ours; None where one is missing, or both are the same."""
        if self.reference is None or name == REFERENCE or not self.systems[name].system.segments:
            return None
        return paired_p(self.reference.dice(cancer_type), self.systems[name].dice(cancer_type))

    def dice_effect(self, name: str) -> float | None:
        """Rank-biserial correlation of a system's Dice and ours, positive where it is ahead; None as `dice_p`."""
        if self.dice_p(name) is None or self.reference is None:
            return None
        return rank_biserial(self.systems[name].dice(), self.reference.dice())

    def adjusted_dice_p(self) -> dict[str, float]:
        """System → `dice_p`, adjusted by Holm's method for all systems that are compared with ours."""
        return _adjusted({name: self.dice_p(name) for name, one in self.systems.items() if one.learned_types})

    def adjusted_auc_p(self, cancer_type: str) -> dict[str, float]:
        """System → `auc_p`, adjusted by Holm's method for all systems that are compared with ours."""
        return _adjusted({name: self.auc_p(name, cancer_type) for name in self.systems})

    def auc_p(self, name: str, cancer_type: str) -> float | None:
        """DeLong's p of a system's AUC and ours; None where one is missing, or both are the same."""
        one, ours = self.systems[name].outcomes.get(cancer_type), None
        if self.reference is not None:
            ours = self.reference.outcomes.get(cancer_type)
        if name == REFERENCE or not isinstance(one, Outcome) or not isinstance(ours, Outcome):
            return None
        return ours.p_against(one)


def _adjusted(p_values: dict[str, float | None]) -> dict[str, float]:
    tested = {name: p for name, p in p_values.items() if p is not None}
    return dict(zip(tested, holm(list(tested.values())), strict=True))


def read_results(study: Study, stability: Stability | None = None) -> Results:
    """Read the results of the finished runs; a system with a missing fold is left out."""
    known = {name: Known.from_patients(study.patients, study.fold_of, name) for name in study.plan.types}
    systems: dict[str, SystemResults] = {}
    features: dict[str, dict[str, dict[str, float]]] = {}
    for system in study.systems:
        runs = [Run(system.name, fold) for fold in range(study.plan.folds)]
        if not all(is_kept(run, study.folder) for run in runs):
            continue
        rows = {one.name: one for run in runs for one in measured_in(run, study.folder)}
        measured = tuple(rows[patient.name] for patient in study.patients)
        features[system.name] = {}
        if system.features != ():
            features[system.name] = {k: v for run in runs for k, v in features_in(run, study.folder).items()}
        outcomes: dict[str, Outcome | str] = {}
        if has_outcome(system):
            good = {one.name: one.good for one in measured}
            outcomes = {
                name: outcome_of(own, good, features[system.name], study.plan.seed) for name, own in known.items()
            }
        systems[system.name] = SystemResults(system, measured, outcomes)
    leakage: dict[str, Shuffled | str] = {}
    leakage_system = next(
        (name for name in (REFERENCE, *systems) if name in systems and _all_features(systems[name])), None
    )
    if leakage_system is not None:
        leakage = {
            name: shuffled(own, features[leakage_system], study.plan.shuffles, study.plan.seed)
            for name, own in known.items()
            if own.names
        }
    return Results(study, systems, tuple(_curve(study)), leakage_system, leakage, stability)


def _all_features(one: SystemResults) -> bool:
    return one.system.features is None


def _curve(study: Study) -> Sequence[CurvePoint]:
    folds = range(min(study.plan.curve_folds, study.plan.folds))
    points = []
    for name in (name for name in CURVE_SYSTEMS if name in SYSTEMS and name in study.names):
        for size in (*study.plan.curve, 0):
            runs = [Run(name, fold, size) for fold in folds]
            if all(is_kept(run, study.folder) for run in runs):
                dice = [one.dice for run in runs for one in measured_in(run, study.folder)]
                number = size or round(np.mean([len(study.train_patients(run)) for run in runs]))
                points.append(CurvePoint(name, number, bootstrap(np.array(dice), seed=study.plan.seed)))
    return points
