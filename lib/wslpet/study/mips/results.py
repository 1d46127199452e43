"""Figures of systems over people, with intervals; paired tests against a reference, adjusted by Holm's method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, ttest_1samp
from sklearn.metrics import roc_curve

from wslpet.analysis.statistics import (
    Estimate,
    auc_interval,
    bootstrap,
    delong_p,
    holm,
    paired_p,
    rank_biserial,
    wilson,
)
from wslpet.core.arrays import Array, BoolArray, FloatArray
from wslpet.study.mips.judging import Outcome
from wslpet.study.mips.study import REFERENCE, MipStudy
from wslpet.study.mips.systems.registry import MipSystem, is_control, system_of
from wslpet.study.results.text_table import NONE, shown_p

# False places a person at which the sensitivity for lesions is told (FROC).
FALSE_PLACES = (0.5, 1.0, 2.0)
SENSITIVITY = 0.95
QUANTITIES = ("dice", "strongest_place", "auc")


@dataclass(frozen=True)
class Comparison:
    """A system against the reference, on the same people; None where one of them does not say it.

    Parameters
    ----------
    p : quantity → p-value. "dice": Wilcoxon's signed-rank test; "strongest_place": McNemar's exact test; "auc":
        DeLong's test.
    effect : quantity → effect size, positive where the system is ahead. "dice": rank-biserial correlation;
        "strongest_place": difference of the shares; "auc": difference.
    """

    p: dict[str, float | None]
    effect: dict[str, float | None]


def compare(one: Sequence[Outcome], reference: Sequence[Outcome]) -> Comparison:
    """Paired tests of the people that both have judged."""
    by_name = {other.name: other for other in reference}
    pairs = [(own, by_name[own.name]) for own in one if own.name in by_name]
    ill = [(a, b) for a, b in pairs if a.ill]
    dice = np.array([(a.dice, b.dice) for a, b in ill if a.dice is not None and b.dice is not None])
    hits = np.array([(bool(a.strongest_place), bool(b.strongest_place)) for a, b in ill]).reshape(-1, 2)
    p: dict[str, float | None] = dict.fromkeys(QUANTITIES)
    effect: dict[str, float | None] = dict.fromkeys(QUANTITIES)
    if len(dice):
        p["dice"], effect["dice"] = paired_p(dice[:, 0], dice[:, 1]), rank_biserial(dice[:, 0], dice[:, 1])
    if len(hits):
        p["strongest_place"], effect["strongest_place"] = mcnemar_p(hits), float(np.subtract(*hits.mean(axis=0)))
    labels = np.array([a.ill for a, _ in pairs])
    scores = np.array([(a.score, b.score) for a, b in pairs]).reshape(-1, 2)
    if 1 < labels.sum() < len(labels) - 1 and np.ptp(scores, axis=0).all():
        p["auc"] = delong_p(labels, scores[:, 0], scores[:, 1])
        effect["auc"] = auc_interval(labels, scores[:, 0]).value - auc_interval(labels, scores[:, 1]).value
    return Comparison(p, effect)


def mcnemar_p(hits: BoolArray) -> float:
    """McNemar's exact test of (person, 2) successes of two systems: two-sided p; 1 if no pair differs."""
    only = int((hits[:, 0] & ~hits[:, 1]).sum()), int((hits[:, 1] & ~hits[:, 0]).sum())
    return float(binomtest(only[0], sum(only)).pvalue) if sum(only) else 1.0


def adjusted(comparisons: Mapping[str, Comparison]) -> dict[tuple[str, str], float]:
    """(system, quantity) → p-value adjusted by Holm's method over all tests of the table, of all quantities."""
    raw = {(name, key): p for name, one in comparisons.items() for key, p in one.p.items() if p is not None}
    return dict(zip(raw, holm(list(raw.values())), strict=True))


def share(values: Sequence[bool | None]) -> Estimate | None:
    """A proportion of what is known, with Wilson's interval; None where nothing is."""
    known = [value for value in values if value is not None]
    return wilson(sum(known), len(known)) if known else None


def mean(values: Sequence[float | None], seed: int = 0) -> Estimate | None:
    """Mean of what is known, with a bootstrap interval over people; None where nothing is."""
    known = [value for value in values if value is not None]
    return bootstrap(np.array(known), seed=seed) if known else None


def mean_of_runs(values: Sequence[float]) -> Estimate:
    """Mean over runs with Student's 95 % interval, two runs or more."""
    value = float(np.mean(values))
    if np.ptp(values) == 0:
        return Estimate(value, value, value)
    low, high = ttest_1samp(values, value).confidence_interval()
    return Estimate(value, float(low), float(high))


def auc_of(outcomes: Sequence[Outcome]) -> Estimate:
    """AUC of the scores, patients against lesion-free people, with DeLong's interval."""
    labels, scores = np.array([one.ill for one in outcomes]), np.array([one.score for one in outcomes])
    return auc_interval(labels, scores)


def specificity(outcomes: Sequence[Outcome]) -> float | None:
    """Specificity for lesion-free people at a sensitivity of `SENSITIVITY`; None where all or none are ill."""
    labels, scores = np.array([one.ill for one in outcomes]), np.array([one.score for one in outcomes])
    if labels.all() or not labels.any():
        return None
    false, true, _ = roc_curve(labels, scores)
    return float(1 - false[true >= SENSITIVITY].min())


def commonest_share(outcomes: Sequence[Outcome]) -> float:
    """Share of the most frequent cancer type among the patients: what a guess would get right."""
    types = [one.cancer_type for one in outcomes if one.ill]
    return max(types.count(name) for name in set(types)) / len(types)


def learned_types(outcomes: Sequence[Outcome]) -> bool:
    """Whether the cancer types are told better than by the most frequent one.

    Wilson's 95 % interval of the type accuracy lies above that type's share of the patients.
    """
    right = share([one.type_right for one in outcomes if one.ill])
    return right is not None and right.low > commonest_share(outcomes)


def froc(outcomes: Sequence[Outcome]) -> FloatArray:
    """(step, 2): false places a person, share of all lesions that are found; by falling strength of the places."""
    places = sorted(
        ((strength, number, found) for number, one in enumerate(outcomes) for strength, found in one.places),
        key=lambda place: -place[0],
    )
    lesions, false, found, steps = sum(one.lesions for one in outcomes), 0, set(), [(0.0, 0.0)]
    for _, number, near in places:
        false += not near
        found |= {(number, lesion) for lesion in near}
        steps.append((false / len(outcomes), len(found) / lesions if lesions else float("nan")))
    return np.array(steps)


def sensitivity_at(outcomes: Sequence[Outcome], false_places: float) -> float:
    """Share of all lesions that are found at a number of false places a person."""
    steps = froc(outcomes)
    return float(steps[steps[:, 0] <= false_places, 1].max()) if sum(o.lesions for o in outcomes) else float("nan")


def calibration(outcomes: Sequence[Outcome], bins: int = 5) -> list[dict[str, float]] | None:
    """Reliability curve: predicted and observed probability of people in `bins` equal parts; None without any."""
    known = sorted((one.probability, one.ill) for one in outcomes if one.probability is not None)
    if not known:
        return None
    parts: list[Array] = np.array_split(np.array(known, dtype=float), bins)
    return [
        {"predicted": float(p[:, 0].mean()), "observed": float(p[:, 1].mean()), "n": len(p)} for p in parts if len(p)
    ]


def lesion_sensitivity(outcomes: Sequence[Outcome], least_cm2: float, most_cm2: float) -> tuple[int, int]:
    """Lesions of a range of areas that a mask overlaps, and all of that range."""
    lesions = [
        covered > 0
        for one in outcomes
        for area, covered in zip(one.areas or (), one.overlapped or (), strict=bool(one.overlapped))
        if least_cm2 <= area < most_cm2
    ]
    return sum(lesions), len(lesions)


@dataclass(frozen=True, eq=False)
class Judged:
    """A system and what was judged of it, on the folds that are done.

    Parameters
    ----------
    complete : whether all folds are done.
    comparison : with the reference, on the people that both have judged; None of the reference itself.
    adjusted : quantity → p-value adjusted by Holm's method over all tests of the study.
    """

    system: MipSystem
    outcomes: list[Outcome]
    complete: bool
    comparison: Comparison | None
    adjusted: dict[str, float]

    @property
    def title(self) -> str:
        """With the number of patients where folds are missing."""
        return self.system.title if self.complete else f"{self.system.title} ({len(self.ill)} patients)"

    @property
    def ill(self) -> list[Outcome]:
        """Of the patients."""
        return [one for one in self.outcomes if one.ill]

    @property
    def counts(self) -> bool:
        """Whether its masks mean anything: a system that needs the types must tell them."""
        return not self.system.needs_type or learned_types(self.outcomes)

    def effect(self, quantity: str, form: str) -> str:
        """Effect size against the reference."""
        value = None if self.comparison is None else self.comparison.effect[quantity]
        return NONE if value is None or quantity not in self.adjusted else f"{value:{form}}"

    def p(self, quantity: str) -> str:
        """Adjusted p-value."""
        return shown_p(self.adjusted.get(quantity))


def judged(study: MipStudy) -> list[Judged]:
    """All systems with at least one fold done, controls left out."""
    found = {name: study.outcomes(name) for name in study.names if not is_control(name)}
    found = {name: outcomes for name, outcomes in found.items() if outcomes}
    comparisons = {
        name: compare(outcomes, found[REFERENCE])
        for name, outcomes in found.items()
        if name != REFERENCE and REFERENCE in found
    }
    tested = {name: _tested(system_of(name), found[name], one) for name, one in comparisons.items()}
    p_values = adjusted(tested)
    return [
        Judged(
            system_of(name),
            outcomes,
            study.folds_done(name) == study.folds,
            comparisons.get(name),
            {key: p for (own, key), p in p_values.items() if own == name},
        )
        for name, outcomes in found.items()
    ]


def _tested(system: MipSystem, outcomes: Sequence[Outcome], one: Comparison) -> Comparison:
    """The tests that mean something: not of masks from types that were not learned, not of scores that say nothing."""
    counts = not system.needs_type or learned_types(outcomes)
    left_out = (() if counts else ("dice", "strongest_place")) + (() if system.tells_presence else ("auc",))
    return Comparison({key: None if key in left_out else p for key, p in one.p.items()}, one.effect)
