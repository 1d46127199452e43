"""Which candidates are lesions: the one that stands by the CAMs, and those that are probable enough (ours)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from wslpet.core.arrays import Array, BoolArray
from wslpet.method.inference.finding.candidates import FEATURES, Candidate
from wslpet.method.inference.finding.probability import LesionProbability
from wslpet.method.inference.localisation import overlap

# Confidence from which the lesion that the CAMs select stands, whatever the maps say: 39 of 40 hard phantoms reach it,
# 38 rightly, and 8 of 40 that have mimics and no tumour.
SURE = 0.9
# Of 24 phantoms with a tumour, unlike those of the fit, 20 reach it after 16 clicks, and of 24 without, 4.
LEAST_ON_SITE = 0.05
# So improbable a candidate is no larger than this. After three trainings on 40 clicks of `fed` phantoms, 8 in place of
# 20 of 72 answers on phantoms without a tumour are wrong, by 3 in place of 115 ml on average; of 120 with one, 56 in
# place of 129 ml are beyond the tumour, and Dice is 0.813 in place of 0.809. From 100 to 300 ml the same.
LARGEST_ON_SITE_ML = 300.0


@dataclass(frozen=True, eq=False)
class FoundLesions:
    """The lesions of a scan.

    Parameters
    ----------
    lesions : each with its probability: the one that stands by the CAMs, then the most probable; no voxel is of two.
    patient : probability that there is a lesion at all.
    """

    lesions: tuple[tuple[Candidate, float], ...]
    patient: float


def found_lesions(
    candidates: Sequence[Candidate],
    probability: LesionProbability,
    least_probability: float,
    confidence: float,
    calibrated: bool = True,
) -> FoundLesions:
    """Keep the candidate that stands by the CAMs, and those of at least a probability, without overlap.

    Parameters
    ----------
    candidates : of `finding.candidates`.
    least_probability : from 0 to 1.
    confidence : of the CAMs' strongest finding, see `Result`.
    calibrated : whether the regressions were fitted to this CAM network. They give too low probabilities to one that
        learned on another scanner, so that its most probable candidate of at most `LARGEST_ON_SITE_ML` stands from
        `LEAST_ON_SITE` on, if no other stands and the CAMs name a tumour.
    """
    sure = is_sure(candidates, confidence)
    odds = probability.log_odds(rows_of(candidates), sure)
    stands = sure | (expit(odds) >= least_probability)
    if not calibrated and not stands.any() and any(one.primary for one in candidates):
        likely = np.where([one.ml <= LARGEST_ON_SITE_ML for one in candidates], odds, -np.inf)
        stands[likely.argmax()] = expit(likely.max()) >= LEAST_ON_SITE
    kept: list[tuple[Candidate, float]] = []
    for number in np.lexsort((-odds, ~sure)).tolist():
        one, own = candidates[number], float(expit(odds[number]))
        if stands[number] and not any(overlap(one.contour, other.contour) for other, _ in kept):
            kept.append((one, own))
    return FoundLesions(tuple(kept), probability.of_patient(odds))


def rows_of(candidates: Sequence[Candidate]) -> Array:
    """(candidate, len(FEATURES)) of candidates."""
    return np.array([one.features for one in candidates]).reshape(len(candidates), len(FEATURES))


def is_sure(candidates: Sequence[Candidate], confidence: float) -> BoolArray:
    """(candidate,) whether the CAMs select each, with a confidence of `SURE` or more."""
    return np.array([one.primary and confidence >= SURE for one in candidates], dtype=bool)
