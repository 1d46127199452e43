"""Probability that a candidate is a lesion: a logistic regression on maps, CAMs and contour score (ours).

It was fitted on phantoms whose lesions are known (`wslpet.data.pretraining.findings`; `model/README.md` says which).
Its numbers are `model/lesion_probability.json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.special import expit

from wslpet.core.arrays import Array
from wslpet.core.errors import ModelError
from wslpet.method.shipped import LESION_PROBABILITY


@dataclass(frozen=True, eq=False)
class LesionProbability:
    """Logistic regressions: with the maps, which are the first feature, and without; and where the CAMs are sure.

    Parameters
    ----------
    features : their names, in order.
    weights : (feature + 1,), the intercept last.
    without_map : (feature,), of the features but the first, the intercept last: where no map shows a candidate.
    sure : (3,), of the map (0 where no map shows it) and the contour score, and the intercept: of a candidate that the
        CAMs are sure of.
    patient : (slope, intercept) of the log odds that a patient has any lesion, by the highest log odds of a candidate.
    model_version : of the CAM network that they were fitted to; they do not hold for another.
    """

    features: tuple[str, ...]
    weights: Array
    without_map: Array
    sure: Array
    patient: tuple[float, float]
    model_version: str

    def log_odds(self, rows: Array, sure: Array) -> Array:
        """Log odds of candidates.

        Parameters
        ----------
        rows : (candidate, feature); the first feature is NaN where no map shows the candidate.
        sure : (candidate,) bool, whether the CAMs are sure of it.
        """
        with_map = rows @ self.weights[:-1] + self.weights[-1]
        without = rows[:, 1:] @ self.without_map[:-1] + self.without_map[-1]
        of_sure = sure_features(rows) @ self.sure[:-1] + self.sure[-1]
        odds: Array = np.where(sure, of_sure, np.where(np.isnan(rows[:, 0]), without, with_map))
        return odds

    def of_patient(self, log_odds: Array) -> float:
        """Probability that the patient has a lesion at all; 0 without a candidate."""
        if not len(log_odds):
            return 0.0
        slope, intercept = self.patient
        return float(expit(slope * log_odds.max() + intercept))

    def save(self, path: Path, **about: object) -> None:
        """Write as JSON, with what `about` says of the fit."""
        numbers = {name: np.round(getattr(self, name), 4).tolist() for name in _NUMBERS}
        content = {**about, "model_version": self.model_version, "features": self.features, **numbers}
        path.write_text(json.dumps(content, indent=1) + "\n")


_NUMBERS = ("weights", "without_map", "sure", "patient")


def sure_features(rows: Array) -> Array:
    """(candidate, feature) → (candidate, 2), what a candidate is judged by that the CAMs are sure of."""
    return np.column_stack([np.nan_to_num(rows[:, 0]), rows[:, -1]])


@lru_cache(2)
def load_lesion_probability(features: tuple[str, ...], path: Path = LESION_PROBABILITY) -> LesionProbability:
    """The shipped regression.

    Raises
    ------
    ModelError
        when the file is missing, damaged, or of other features than the code measures.
    """
    remedy = "restore model/, or run python -m wslpet.data.pretraining.findings"
    try:
        content = json.loads(path.read_text())
        weights, without_map, sure, patient = (np.array(content[name], dtype=float) for name in _NUMBERS)
        named, version = tuple(content["features"]), str(content["model_version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path.name} cannot be read ({type(error).__name__}); {remedy}") from error
    n = len(features)
    shapes = (weights.shape, without_map.shape, sure.shape, patient.shape)
    fits = named == features and shapes == ((n + 1,), (n,), (3,), (2,))
    if not fits or not all(np.isfinite(numbers).all() for numbers in (weights, without_map, sure, patient)):
        raise ModelError(f"{path.name} was fitted to other features; {remedy}")
    return LesionProbability(features, weights, without_map, sure, (float(patient[0]), float(patient[1])), version)
