"""Stratified folds, confidence intervals and statistical tests."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm, rankdata, wilcoxon
from sklearn.model_selection import StratifiedGroupKFold

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.errors import InputError

DRAWS = 2000


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % confidence interval."""

    value: float
    low: float
    high: float


def folds(strata: Sequence[Hashable], patients: Sequence[str], n: int = 5, seed: int = 0) -> list[Array]:
    """Stratified group folds: indices of the test scans of each fold; no patient is in two folds.

    Parameters
    ----------
    strata : of each scan, such as its cancer type and outcome.
    patients : patient of each scan.

    Raises
    ------
    InputError
        if there are fewer patients than folds.
    """
    if n < 2 or len(set(patients)) < n:
        raise InputError(f"{len(set(patients))} patients do not make {n} folds; give more patients, or 2 or more folds")
    # Strata are numbered in order of appearance, so that the folds depend on the table only.
    numbers = {stratum: number for number, stratum in enumerate(dict.fromkeys(strata))}
    classes = np.array([numbers[stratum] for stratum in strata])
    if np.bincount(classes).max() < n:
        classes = np.zeros_like(classes)  # no stratum has a scan for each fold, which scikit-learn refuses
    splitter = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # raised for strata smaller than the number of folds
        return [test for _, test in splitter.split(classes, classes, patients)]


def bootstrap(
    *columns: Array,
    statistic: Callable[..., float] = np.mean,
    seed: int = 0,
    draws: int = DRAWS,
) -> Estimate:
    """A statistic with its percentile bootstrap interval; resamples in which it is undefined are left out.

    Parameters
    ----------
    columns : (patient,) arguments of `statistic`; patients are resampled with replacement, rows together.
    """
    data = [np.asarray(column) for column in columns]
    picks = np.random.default_rng(seed).integers(0, len(data[0]), (draws, len(data[0])))
    if statistic is np.mean:
        values = data[0][picks].mean(axis=1)
    else:
        values = np.array([statistic(*(column[pick] for column in data)) for pick in picks])
    low, high = np.nanpercentile(values, [2.5, 97.5]) if np.isfinite(values).any() else (np.nan, np.nan)
    return Estimate(float(statistic(*data)), float(low), float(high))


def paired_p(one: Sequence[float] | Array, other: Sequence[float] | Array) -> float:
    """Wilcoxon's signed-rank test on pairs: two-sided p; 1 if no pair differs."""
    difference = np.asarray(one, dtype=float) - np.asarray(other, dtype=float)
    return float(wilcoxon(difference).pvalue) if np.any(difference) else 1.0


def wilson(successes: int, trials: int) -> Estimate:
    """A proportion with Wilson's 95 % score interval, which is never of width 0 (Wilson 1927, JASA 22:209).

    Raises
    ------
    InputError
        when there are no trials, or more successes than trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise InputError(f"{successes} of {trials} is no proportion; give at least one trial, and no more successes")
    interval = binomtest(successes, trials).proportion_ci(method="wilson")
    return Estimate(successes / trials, float(interval.low), float(interval.high))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for the number of tests by Holm's step-down method (Holm 1979, Scand J Stat 6:65)."""
    order, adjusted, largest = np.argsort(p_values), [0.0] * len(p_values), 0.0
    for rank, number in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[number]))
        adjusted[number] = largest
    return adjusted


def rank_biserial(one: Sequence[float] | Array, other: Sequence[float] | Array) -> float:
    """Effect size of Wilcoxon's signed-rank test: the matched-pairs rank-biserial correlation (Kerby 2014).

    Returns
    -------
    the share of the rank sum in favour of the first minus that in favour of the second: −1 to 1; 0 if no pair differs.
    """
    difference = np.asarray(one, dtype=float) - np.asarray(other, dtype=float)
    difference = difference[difference != 0]
    if not len(difference):
        return 0.0
    ranks = rankdata(np.abs(difference))
    return float((ranks * np.sign(difference)).sum() / ranks.sum())


def auc(labels: Array, scores: Array) -> float:
    """Area under the ROC curve, ties counting half; NaN where one class is missing."""
    return float(_placements(labels, scores)[0].mean()) if 0 < np.sum(labels) < len(labels) else float("nan")


def auc_interval(labels: Array, scores: Array) -> Estimate:
    """AUC with DeLong's 95 % interval (DeLong et al. 1988, Biometrics 44:837), cut at 0 and 1."""
    if not 1 < np.sum(labels) < len(labels) - 1:
        return Estimate(auc(labels, scores), float("nan"), float("nan"))
    value = auc(labels, scores)
    half = norm.ppf(0.975) * np.sqrt(_covariance(labels, [scores])[0, 0])
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def delong_p(labels: Array, one: Array, other: Array) -> float:
    """DeLong's test that two scores of the same patients have equal AUC: two-sided p."""
    covariance = _covariance(labels, [one, other])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    difference = auc(labels, one) - auc(labels, other)
    if variance <= 1e-12:
        return 1.0 if abs(difference) < 1e-12 else 0.0
    return float(2 * norm.sf(abs(difference) / np.sqrt(variance)))


def _placements(labels: Array, scores: Array) -> tuple[Array, Array]:
    # For each positive, the share of negatives below it; for each negative, the share of positives above it.
    positive, negative = scores[labels == 1], scores[labels == 0]
    above = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    return above.mean(axis=1), above.mean(axis=0)


def _covariance(labels: Array, scores: list[Array]) -> Array:
    positives, negatives = zip(*(_placements(np.asarray(labels), np.asarray(s)) for s in scores), strict=True)
    parts = [np.atleast_2d(np.cov(np.array(part))) / part[0].size for part in (positives, negatives)]
    covariance: FloatArray = parts[0] + parts[1]
    return covariance


def icc(ratings: Array) -> float:
    """ICC(2,1): two-way random effects, absolute agreement, single rating (Shrout & Fleiss 1979).

    Parameters
    ----------
    ratings : (subject, rater); NaN when there is no variance to divide.
    """
    ratings = np.asarray(ratings, dtype=float)
    n, k = ratings.shape
    mean = ratings.mean()
    rows = k * ((ratings.mean(axis=1) - mean) ** 2).sum() / (n - 1)
    columns = n * ((ratings.mean(axis=0) - mean) ** 2).sum() / (k - 1)
    total = ((ratings - mean) ** 2).sum()
    rest = (total - rows * (n - 1) - columns * (k - 1)) / ((n - 1) * (k - 1))
    below = rows + (k - 1) * rest + k * (columns - rest) / n
    return float((rows - rest) / below) if below > 0 else float("nan")
