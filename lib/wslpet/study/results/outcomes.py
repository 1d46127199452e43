"""Prediction of treatment response and survival from each system's masks, for each cancer type separately.

A patient's features come from a mask predicted by a model that never saw that patient. The outcome model of a fold is
fitted on the patients of the other folds (`wslpet.analysis.outcome`). Outcomes are never used to predict masks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from wslpet.analysis.outcome import Performance, out_of_fold, performance
from wslpet.analysis.statistics import Estimate, delong_p
from wslpet.core.arrays import Array
from wslpet.core.errors import TrainingError
from wslpet.study.design.patients import Patient
from wslpet.study.systems.system import System


@dataclass(frozen=True, eq=False)
class Outcome:
    """Outcome prediction of one system for one cancer type.

    Parameters
    ----------
    outcomes : (patient,) 0 or 1.
    probabilities : (patient,) probability of outcome 1, out of fold.
    performance : of these.
    """

    outcomes: Array
    probabilities: Array
    performance: Performance

    def p_against(self, other: Outcome) -> float:
        """DeLong's p of the two AUCs, which are of the same patients."""
        return delong_p(self.outcomes, self.probabilities, other.probabilities)


@dataclass(frozen=True, eq=False)
class Known:
    """The patients of one type whose outcome is known.

    Parameters
    ----------
    names : of the scans.
    patients : whom each scan is of.
    outcomes : (patient,) 0 or 1.
    folds : indices of the test patients of each fold.
    """

    names: list[str]
    patients: list[str]
    outcomes: Array
    folds: list[Array]

    @classmethod
    def from_patients(cls, patients: Sequence[Patient], fold_of: Array, cancer_type: str) -> Known:
        """The patients of one cancer type whose outcome is known."""
        chosen = [
            (patient, fold)
            for patient, fold in zip(patients, fold_of, strict=True)
            if patient.cancer_type == cancer_type and patient.row.outcome is not None
        ]
        of = np.array([fold for _, fold in chosen], dtype=int)
        return cls(
            [patient.name for patient, _ in chosen],
            [patient.row.patient or patient.name for patient, _ in chosen],
            np.array([patient.row.outcome for patient, _ in chosen], dtype=int),
            [test for fold in np.unique(of) if len(test := np.flatnonzero(of == fold))],
        )


def outcome_of(
    known: Known, good: Mapping[str, float], features: Mapping[str, Mapping[str, float]], seed: int
) -> Outcome | str:
    """Outcome prediction of a system, or the reason why there is none.

    Parameters
    ----------
    good : patient → probability, if the system predicts the outcome by itself.
    features : patient → feature → value, otherwise.
    """
    if not known.names:
        return "no outcome known"
    try:
        if features:
            probabilities = out_of_fold(matrix(known, features), known.outcomes, known.folds, known.patients, seed)
        else:
            probabilities = np.array([good[name] for name in known.names])
    except TrainingError as error:
        return str(error)
    if not np.isfinite(probabilities).all():
        return "too few outcomes to learn from"
    return Outcome(known.outcomes, probabilities, performance(known.outcomes, probabilities, known.folds))


def matrix(known: Known, features: Mapping[str, Mapping[str, float]]) -> Array:
    """The features as a matrix (patient, feature)."""
    return np.array([list(features[name].values()) for name in known.names])


def has_outcome(system: System) -> bool:
    """Whether a system predicts outcome."""
    return system.features != () or system.name == "rpet"


@dataclass(frozen=True)
class Shuffled:
    """Permutation test for leakage: with shuffled outcomes the expected AUC is 0.5.

    Parameters
    ----------
    mean : of the AUCs, with the 95 % interval of that mean (Student's t).
    aucs : one for each permutation, the mean of its folds.
    """

    mean: Estimate
    aucs: tuple[float, ...]

    @property
    def holds(self) -> bool:
        """Whether 0.5 is in the interval."""
        return self.mean.low <= 0.5 <= self.mean.high

    def p_of(self, value: float) -> float:
        """Permutation p-value of an AUC; the observed one counts as a permutation."""
        return (1 + sum(one >= value for one in self.aucs)) / (1 + len(self.aucs))


def shuffled(known: Known, features: Mapping[str, Mapping[str, float]], times: int, seed: int) -> Shuffled | str:
    """Repeat the outcome prediction, features to mean AUC of the folds, with outcomes permuted within each fold.

    So the outcomes of a fold do not depend on those to learn from, and the expected AUC is 0.5 whatever the features.
    It would be lower of all patients pooled, or permuted across folds: a fold with more good outcomes leaves fewer of
    them to learn from (Parker et al. 2007, BMC Bioinformatics 8:326).
    """
    rng, table, aucs = np.random.default_rng(seed), matrix(known, features), []
    try:
        for number in range(times):
            outcomes = known.outcomes.copy()
            for fold in known.folds:
                outcomes[fold] = rng.permutation(outcomes[fold])
            probabilities = out_of_fold(table, outcomes, known.folds, known.patients, number)
            aucs.append(performance(outcomes, probabilities, known.folds).fold_mean["auc"])
    except TrainingError as error:
        return str(error)
    mean = float(np.mean(aucs))
    half = float(t.ppf(0.975, times - 1) * np.std(aucs, ddof=1) / np.sqrt(times)) if times > 1 else float("nan")
    return Shuffled(Estimate(mean, mean - half, mean + half), tuple(aucs))
