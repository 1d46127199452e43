"""From the map of a person to the probability that there is a lesion at all (ours)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from wslpet.core.arrays import Array, BoolArray, FloatArray

# Standard deviations, pixels of the segmenter, of smoothing for the evidence beside the highest pixel. That pixel alone
# tells patients from others best (AUC 0.84; smoothed by 4 mm 0.83, volume 0.72): small lesions count.
SMOOTHING = (0.5, 1.0)
FEATURES = ("highest log-odds", *(f"log-odds, smoothed by {s:g}" for s in SMOOTHING), "log volume")
# Probability of the pixels that the volume counts.
CERTAIN = 0.9
# Inverse of the L2 penalty of the logistic regression.
STRENGTH = 0.3


def log_odds(probability: FloatArray) -> FloatArray:
    """Of probabilities, cut at one in a million."""
    result: FloatArray = logit(np.clip(probability.astype(np.float64), 1e-6, 1 - 1e-6))
    return result


def features(probability: FloatArray) -> FloatArray:
    """`FEATURES` of one person: (view, row, column) probability of a lesion → (feature,)."""
    smooth = [ndimage.gaussian_filter(probability, (0, sigma, sigma)).max() for sigma in SMOOTHING]
    odds = log_odds(np.array([probability.max(), *smooth]))
    return np.append(odds, np.log1p((probability > CERTAIN).sum()))


@dataclass(frozen=True, eq=False)
class Presence:
    """Calibrated probability that a person has a lesion: a logistic regression on `FEATURES`.

    Parameters
    ----------
    mean, scale : (feature,) of the people it was fitted to.
    weights : (feature,).
    intercept : of the log-odds.
    """

    mean: FloatArray
    scale: FloatArray
    weights: FloatArray
    intercept: float

    def probability(self, rows: Array) -> FloatArray:
        """(person, feature) → (person,)."""
        odds = ((rows - self.mean) / self.scale) @ self.weights + self.intercept
        result: FloatArray = expit(odds)
        return result


def fit_presence(rows: Array, ill: BoolArray) -> Presence | None:
    """Fit to predictions of people that the network had not seen; None where only one kind of people is known."""
    if ill.all() or not ill.any():
        return None
    mean, scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-6)
    fitted = LogisticRegression(C=STRENGTH, max_iter=1000).fit((rows - mean) / scale, ill)
    return Presence(mean, scale, fitted.coef_[0], float(fitted.intercept_[0]))
