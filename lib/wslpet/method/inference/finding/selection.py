"""Which candidates are lesions: those that are probable enough and overlap no more probable one (ours)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from wslpet.core.arrays import Array
from wslpet.method.inference.finding.candidates import FEATURES, Candidate
from wslpet.method.inference.finding.probability import LesionProbability
from wslpet.method.inference.localisation import overlap


@dataclass(frozen=True, eq=False)
class FoundLesions:
    """The lesions of a scan.

    Parameters
    ----------
    lesions : each with its probability, the most probable first; no voxel is of two.
    patient : probability that there is a lesion at all.
    """

    lesions: tuple[tuple[Candidate, float], ...]
    patient: float


def found_lesions(
    candidates: Sequence[Candidate], probability: LesionProbability, least_probability: float
) -> FoundLesions:
    """Keep the candidate that the CAMs are sure of, and those of at least a probability, without overlap.

    Of two that overlap, the sure one is kept, or the more probable one.

    Parameters
    ----------
    candidates : of `finding.candidates`.
    least_probability : from 0 to 1.
    """
    odds = log_odds(candidates, probability)
    later = np.array([not one.sure for one in candidates])
    kept: list[tuple[Candidate, float]] = []
    for number in np.lexsort((-odds, later)).tolist():
        one, own = candidates[number], float(expit(odds[number]))
        stands = one.sure or own >= least_probability
        if stands and not any(overlap(one.contour, other.contour) for other, _ in kept):
            kept.append((one, own))
    kept.sort(key=lambda one: -one[1])
    return FoundLesions(tuple(kept), probability.of_patient(odds))


def log_odds(candidates: Sequence[Candidate], probability: LesionProbability) -> Array:
    """(candidate,) log odds that each is a lesion."""
    rows = np.array([one.features for one in candidates]).reshape(len(candidates), len(FEATURES))
    return probability.log_odds(rows, np.array([one.sure for one in candidates], dtype=bool))
