"""How much a candidate contour looks like the whole lesion and nothing else.

A network of one small hidden layer over the contour's measurements, fitted on phantoms and on published real lesions
whose masks are known (`wslpet.data.pretraining.contours`; `model/README.md` says which). Its few hundred numbers are
`model/contour_score.json`.
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
