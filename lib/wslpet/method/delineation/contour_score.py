"""How much a candidate contour looks like the whole lesion and nothing else.

The mean of three networks of 16 hidden units over the contour's measurements, fitted on phantoms whose truth is known
(`wslpet.data.pretraining.contours`; `model/README.md` says which). Its numbers are `model/contour_score.json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from wslpet.core.arrays import Array
from wslpet.core.errors import ModelError
from wslpet.method.shipped import CONTOUR_SCORE

FILE = CONTOUR_SCORE
# The expected Dice is taken over so many contours; a difference of the score weighs this much beside it.
LIKELIEST = 96
SCORE_WEIGHT = 0.05


def select_contour(scores: Array, ml: Array) -> int:
    """Select the contour that agrees best with what the score believes.

    That is the highest expected Dice, where a contour is the lesion with the softmax of its score, and two contours
    around one point contain one another. On phantoms as good as the highest score, on lesions of the lung and sarcomas
    better by 0.01 to 0.02.

    Parameters
    ----------
    scores, ml : (contour,) score and volume.
    """
    order = scores.argsort()[::-1][:LIKELIEST]
    best, volumes = scores[order], ml[order]
    likely = np.exp(best - best[0])
    dice = 2 * np.minimum(volumes[:, None], volumes) / (volumes[:, None] + volumes)
    return int(order[(dice @ likely / likely.sum() + SCORE_WEIGHT * best).argmax()])


@dataclass(frozen=True, eq=False)
class ContourScore:
    """tanh layer and linear layer over standardised features.

    Parameters
    ----------
    features : their names, in order.
    mean, sd : (feature,) of the fitting cohort.
    hidden : (unit, feature) weights; hidden_bias : (unit,).
    out : (unit,) weights.
    """

    features: tuple[str, ...]
    mean: Array
    sd: Array
    hidden: Array
    hidden_bias: Array
    out: Array

    def __call__(self, features: Array) -> Array:
        """(contour, feature) → (contour,); the higher, the better the contour. Only differences count."""
        scores: Array = np.tanh((features - self.mean) / self.sd @ self.hidden.T + self.hidden_bias) @ self.out
        return scores

    def save(self, path: Path, **about: object) -> None:
        """Write as JSON, with what `about` says of the fit."""
        arrays = {name: getattr(self, name).round(5).tolist() for name in _ARRAYS}
        path.write_text(json.dumps({**about, "features": self.features, **arrays}, indent=1) + "\n")


_ARRAYS = ("mean", "sd", "hidden", "hidden_bias", "out")


@lru_cache
def load_contour_score(features: tuple[str, ...]) -> ContourScore:
    """The shipped score; raises ModelError when it was fitted to other features than the code measures."""
    try:
        content = json.loads(FILE.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{FILE.name} cannot be read; restore model/, or run python -m wslpet.data.pretraining.contours"
        ) from error
    if tuple(content["features"]) != features:
        raise ModelError(f"{FILE.name} was fitted to other features; run python -m wslpet.data.pretraining.contours")
    return ContourScore(features, *(np.array(content[name]) for name in _ARRAYS))
