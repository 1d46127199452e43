"""How a prediction of a person is judged, and figures over people with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.stats import binomtest
from sklearn.metrics import roc_curve

from benchmarks.real.mips.cohort import EIGHT_NEIGHBOURS
from wslpet.analysis.statistics import auc_interval, bootstrap
from wslpet.core.arrays import Array, BoolArray
from wslpet.data.mip_cohort import MipPerson

WITHIN_MM = 8.0
FALSE_PLACES = (0.5, 1.0, 2.0)
# Places are local maxima of the map that are this far apart, at most so many.
APART_MM = 16.0
MOST_PLACES = 40
SENSITIVITY = 0.95


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a system says of a person.

    strength : (row, column) of the image; its maximum is the strongest place. mask : (row, column); None where a system
    makes none. score : higher is more certainly ill. cancer_type : None where a system names none.
    """

    strength: Array
    mask: BoolArray | None
    score: float
    cancer_type: str | None
    probability: float | None = None


@dataclass(frozen=True)
class Outcome:
    """One judged person. places : (strength, numbers of the lesions within reach) of each place, strongest first."""

    name: str
    ill: bool
    lesions: int
    score: float
    strongest_place: bool | None
    dice: float | None
    places: list[tuple[float, list[int]]]
    type_right: bool | None
    probability: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def judge(person: MipPerson, prediction: Prediction) -> Outcome:
    """Compare a prediction with the expert's mask."""
    truth, spacing = person.mask, person.image.spacing
    labels, count = ndimage.label(truth, EIGHT_NEIGHBOURS)
    places = _places(prediction.strength, spacing)
    reached = [(strength, _near(labels, place, spacing)) for strength, place in places]
    ill = person.cancer_type is not None
    dice = None
    if ill and prediction.mask is not None:
        dice = float(2 * (prediction.mask & truth).sum() / (prediction.mask.sum() + truth.sum()))
    hit = bool(reached and reached[0][1]) if ill else None
    right = prediction.cancer_type == person.cancer_type if ill and prediction.cancer_type is not None else None
    return Outcome(person.name, ill, count, float(prediction.score), hit, dice, reached, right, prediction.probability)


def _places(strength: Array, spacing: tuple[float, float]) -> list[tuple[float, tuple[int, int]]]:
    size = [2 * int(APART_MM / s / 2) + 1 for s in spacing]
    peaks = (strength == ndimage.maximum_filter(strength, size=size)) & (strength > 0)
    labels, _ = ndimage.label(peaks, EIGHT_NEIGHBOURS)  # a plateau is one place
    numbers, first = np.unique(labels, return_index=True)
    corners = np.stack(np.unravel_index(first[numbers > 0], labels.shape), axis=1)
    found = [(int(row), int(column)) for row, column in corners]
    found.sort(key=lambda place: -strength[place])
    return [(float(strength[place]), place) for place in found[:MOST_PLACES]]


def _near(labels: Array, place: tuple[int, int], spacing: tuple[float, float]) -> list[int]:
    reach = [int(WITHIN_MM / s) + 1 for s in spacing]
    window = tuple(slice(max(0, p - r), p + r + 1) for p, r in zip(place, reach, strict=True))
    offsets = np.ogrid[tuple(slice(0, n) for n in labels[window].shape)]
    away = sum(((o + w.start - p) * s) ** 2 for o, w, p, s in zip(offsets, window, place, spacing, strict=True))
    return sorted(set(labels[window][away <= WITHIN_MM**2].tolist()) - {0})


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Figures of a system; what it does not say is None."""
    ill = [one for one in outcomes if one.ill]
    labels, scores = np.array([one.ill for one in outcomes]), np.array([one.score for one in outcomes])
    auc = auc_interval(labels, scores)
    return {
        "n": len(ill),
        "lesion_free": len(outcomes) - len(ill),
        "strongest_place": _share([one.strongest_place for one in ill]),
        "dice": _mean([one.dice for one in ill]),
        "froc": {f"{false:g}": sensitivity_at(outcomes, false) for false in FALSE_PLACES},
        "auc": {"value": auc.value, "low": auc.low, "high": auc.high},
        "specificity_at_95": _specificity(labels, scores),
        "type_accuracy": _share([one.type_right for one in ill]),
        "calibration": _calibration(outcomes),
    }


def _share(values: list[bool | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    interval = binomtest(sum(known), len(known)).proportion_ci(method="wilson")
    return {"value": sum(known) / len(known), "low": float(interval.low), "high": float(interval.high)}


def _mean(values: list[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    found = bootstrap(np.array(known))
    return {"value": found.value, "low": found.low, "high": found.high, "median": float(np.median(known))}


def sensitivity_at(outcomes: Sequence[Outcome], false_places: float) -> float:
    """Share of all lesions that are found at a number of false places per person."""
    places = sorted(
        ((strength, number, found) for number, one in enumerate(outcomes) for strength, found in one.places),
        key=lambda place: -place[0],
    )
    lesions, false, found = sum(one.lesions for one in outcomes), 0, set()
    for _, number, near in places:
        false += not near
        if false > false_places * len(outcomes):
            break
        found |= {(number, lesion) for lesion in near}
    return len(found) / lesions if lesions else float("nan")


def _specificity(labels: BoolArray, scores: Array) -> float | None:
    if labels.all() or not labels.any():
        return None
    false, true, _ = roc_curve(labels, scores)
    return float(1 - false[true >= SENSITIVITY].min())


def _calibration(outcomes: Sequence[Outcome], bins: int = 5) -> list[dict[str, float]] | None:
    """Reliability curve: of people by predicted probability, in `bins` equal parts."""
    known = sorted((one.probability, one.ill) for one in outcomes if one.probability is not None)
    if not known:
        return None
    parts = np.array_split(np.array(known, dtype=float), bins)
    return [{"predicted": p[:, 0].mean(), "observed": p[:, 1].mean(), "n": len(p)} for p in parts if len(p)]
