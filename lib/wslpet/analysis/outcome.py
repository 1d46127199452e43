"""Outcome prediction from features; scaling, selection and fitting use the training folds only."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectKBest, VarianceThreshold, f_classif
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from wslpet.analysis.statistics import Estimate, auc, auc_interval, wilson
from wslpet.core.arrays import Array, FloatArray
from wslpet.core.errors import TrainingError

CHOICES = {"select__k": (1, 3, 8), "model__C": (0.03, 0.3, 3.0)}
INNER_FOLDS = 4
THRESHOLD = 0.5
# Least number of patients of the rarer class in a training fold.
FEWEST = 3


@dataclass(frozen=True)
class Performance:
    """Performance of predicted probabilities; the positive class is the good outcome, 1.

    Parameters
    ----------
    fold_mean, fold_sd : quantity → mean and SD over the folds, as in the paper.
    pooled : quantity → estimate over all patients with a 95 % interval: DeLong's for the AUC, Wilson's for proportions.
        Both ignore the variation with other training patients: DeLong's interval contained 0.5 for 37 of 42 shuffled
        outcomes.
    """

    fold_mean: dict[str, float]
    fold_sd: dict[str, float]
    pooled: dict[str, Estimate]


def out_of_fold(
    features: Array, outcomes: Array, folds: Sequence[Array], patients: Sequence[str] = (), seed: int = 0
) -> Array:
    """Out-of-fold probabilities (patient,) of the good outcome, by nested cross-validation.

    Parameters
    ----------
    features : (patient, feature); NaN is filled with the training patients' median.
    outcomes : (patient,) 0 or 1.
    folds : indices of the test scans of each fold.
    patients : patient of each scan, if there are several scans of a patient; the inner folds keep them together.

    Raises
    ------
    TrainingError
        if a training fold has fewer than `FEWEST` patients of an outcome.
    """
    found = np.full(len(outcomes), np.nan)
    groups = np.array(patients) if len(patients) else np.arange(len(outcomes))
    for test in folds:
        train = np.setdiff1d(np.arange(len(outcomes)), test)
        found[test] = fitted(features[train], outcomes[train], groups[train], seed).predict_proba(features[test])[:, 1]
    return found


def fitted(features: Array, outcomes: Array, patients: Array, seed: int = 0) -> GridSearchCV:
    """Fit scaling, feature selection and model; inner folds choose the number of features and the penalty."""
    fewest = min(len(set(patients[outcomes == outcome].tolist())) for outcome in (0, 1))
    if fewest < FEWEST:
        raise TrainingError(
            f"{fewest} of {len(set(patients.tolist()))} training patients have the rarer outcome; {FEWEST} are needed: "
            "give more patients, or fewer folds"
        )
    grid = {**CHOICES, "select__k": [k for k in CHOICES["select__k"] if k <= features.shape[1]]}
    inner = _inner_folds(outcomes, patients, min(INNER_FOLDS, fewest), seed)
    search = GridSearchCV(_pipeline(), grid, scoring="roc_auc", cv=inner)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # f_classif of a feature that is constant in an inner fold
        return search.fit(features, outcomes)


def _inner_folds(outcomes: Array, patients: Array, n: int, seed: int) -> list[tuple[Array, Array]]:
    """(train, test) indices of scans; patients are divided, by the outcome of their first scan.

    scikit-learn's StratifiedGroupKFold left folds without one of the outcomes, 12 of 120 patients being positive.
    """
    names, first, of = np.unique(patients, return_index=True, return_inverse=True)
    splitter = StratifiedKFold(n, shuffle=True, random_state=seed)
    tests = [np.isin(of, test) for _, test in splitter.split(names, outcomes[first])]
    return [(np.flatnonzero(~test), np.flatnonzero(test)) for test in tests]


def _pipeline() -> Pipeline:
    # Volumes and texture features span decades: take their logarithm before scaling.
    return Pipeline(
        [
            ("fill", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("log", FunctionTransformer(_signed_log)),
            ("varies", VarianceThreshold()),
            ("scale", StandardScaler()),
            ("select", SelectKBest(f_classif)),
            ("model", LogisticRegression(class_weight="balanced", max_iter=2000)),
        ]
    )


def _signed_log(values: Array) -> Array:
    logs: FloatArray = np.sign(values) * np.log1p(np.abs(values))
    return logs


def performance(outcomes: Array, probabilities: Array, folds: Sequence[Array]) -> Performance:
    """Accuracy, sensitivity, specificity (at `THRESHOLD`) and AUC."""
    each = [
        {name: score(outcomes[test], probabilities[test]) for name, score in SCORES.items()}
        for test in folds
        if len(test)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a fold without one of the outcomes has no AUC
        mean = {name: float(np.nanmean([one[name] for one in each])) for name in SCORES}
        sd = {name: float(np.nanstd([one[name] for one in each], ddof=1)) for name in SCORES}
    right = (probabilities >= THRESHOLD) == (outcomes == 1)
    pooled = {
        "accuracy": _proportion(right),
        "sensitivity": _proportion(right[outcomes == 1]),
        "specificity": _proportion(right[outcomes == 0]),
        "auc": auc_interval(outcomes, probabilities),
    }
    return Performance(mean, sd, pooled)


def _proportion(hits: Array) -> Estimate:
    return wilson(int(hits.sum()), len(hits)) if len(hits) else Estimate(np.nan, np.nan, np.nan)


def _accuracy(outcomes: Array, probabilities: Array) -> float:
    return float(np.mean((probabilities >= THRESHOLD) == (outcomes == 1)))


def _sensitivity(outcomes: Array, probabilities: Array) -> float:
    good = outcomes == 1
    return float(np.mean(probabilities[good] >= THRESHOLD)) if good.any() else float("nan")


def _specificity(outcomes: Array, probabilities: Array) -> float:
    bad = outcomes == 0
    return float(np.mean(probabilities[bad] < THRESHOLD)) if bad.any() else float("nan")


SCORES = {"accuracy": _accuracy, "sensitivity": _sensitivity, "specificity": _specificity, "auc": auc}
