"""Simulated outcomes of phantom patients, with a known dependence on the tumour.

The log-odds of the good outcome (response of the oesophagus, three years of the lung) are

    −1.4 · v − 0.9 · h + ε,   ε normal with SD 0.5

v : ln of the true volume in ml, nodes included, minus 3 (ln of 20 ml).
h : heterogeneity, the relative SD of uptake that the primary was sampled with, standardised over the cohort's range.

Large and heterogeneous tumours have worse outcomes, as in patients; the numbers are ours. SUVmax has no effect, and
the scanner's blur and noise hide most of h. The outcome is sampled from the probability, so that no predictor can reach
an AUC of 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wslpet.data.phantom.body.anatomy import stream
from wslpet.data.phantom.settings import CohortSettings

VOLUME_EFFECT = -1.4
HETEROGENEITY_EFFECT = -0.9
NOISE_SD = 0.5
LN_MEDIAN_ML = 3.0


@dataclass(frozen=True)
class Outcome:
    """A simulated outcome: `good` is 1 or 0; `probability` is that of 1 and so the best possible prediction."""

    good: int
    probability: float


def draw_outcome(seed: int, volume_ml: float, heterogeneity: float, settings: CohortSettings) -> Outcome:
    """Sample the outcome of a patient with a tumour; deterministic in its arguments."""
    rng = stream(seed, "outcome")
    low, high = settings.heterogeneity
    spread = (high - low) / np.sqrt(12) or 1.0
    odds = VOLUME_EFFECT * (np.log(max(volume_ml, 1e-3)) - LN_MEDIAN_ML)
    odds += HETEROGENEITY_EFFECT * (heterogeneity - (low + high) / 2) / spread + rng.normal(0.0, NOISE_SD)
    probability = float(1.0 / (1.0 + np.exp(-odds)))
    return Outcome(int(rng.random() < probability), probability)
