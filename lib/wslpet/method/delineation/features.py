"""What can be said of candidate contours without knowing the truth: the features of the score."""

from __future__ import annotations

import math

import numpy as np

from wslpet.core.arrays import Array
from wslpet.method.delineation.basins import Basins
from wslpet.method.delineation.candidates import FRACTIONS, Candidate

FEATURES = (
    "offset",
    "offset_squared",
    "open_boundary",
    "contrast",
    "lowest_saddle_crossed",
    "highest_saddle_left",
    "boundary_slope",
    "holds_point",
    "touches_box",
    "fraction",
    "fraction_squared",
    "not_from_point",
    "hull",
    "solidity",
    "log_ml",
    "growth",
    "mean_share",
    "click_share",
    "heat",
    "sharpened",
    "own_share",
    "roughness",
    "log_ml_by_rule",
    "rule_open_boundary",
)
# What the simple rule takes: the component at this share of the contrast, of the basins merged across saddles of this
# share. Of the shares 0.25 to 0.46 and 0.72 to 0.99 these are best on scenes (`wslpet.data.phantom.scenes`).
RULE_FRACTION = 0.29
RULE_SADDLE = 0.85
_COLUMN = {name: number for number, name in enumerate(FEATURES)}


def features(
    basins: Basins,
    candidates: list[Candidate],
    measured: Array,
    point: Array,
    uncertainty_mm: float,
    sharpened: bool,
) -> Array:
    """(candidate, 2, level, len(FEATURES)) of all components, as they are and with their hulls.

    Parameters
    ----------
    measured : (candidate, 2, level, measurement), see `candidates.measurements`.
    point : fractional voxel of the box, off the lesion's centre by `uncertainty_mm` (SD per axis).
    sharpened : whether the box is a sharpened one.
    """
    ml, away_mm, mean, holds_point, touches_box, own, slope, opened, rough = np.moveaxis(measured, -1, 0)
    fractions = np.array(FRACTIONS)
    some = np.maximum(ml, 1e-3)
    radius = (3 * some * 1000 / (4 * math.pi)) ** (1 / 3)
    offset = away_mm / np.hypot(uncertainty_mm * 1.7, 0.25 * radius)
    peak = _each([one.peak for one in candidates])
    background = _each([one.background for one in candidates])
    height = np.maximum(peak - background, 1e-3)
    nearest = tuple(np.clip(np.rint(point).astype(int), 0, np.array(basins.image.shape) - 1))
    click = (float(basins.image[nearest]) - background) / height - fractions
    start = _each([basins.peaks[one.union.start] for one in candidates])
    columns = (
        offset,
        offset**2,
        opened,
        np.minimum(height / np.maximum(peak, 1e-3), 2.0),
        _each([one.union.lowest_saddle_crossed for one in candidates]),
        _each([one.union.highest_saddle_left for one in candidates]),
        slope * 10.0 / height,
        holds_point,
        touches_box,
        fractions,
        fractions**2,
        _each([float(one.union.rank > 0 or one.from_hottest) for one in candidates]),
        np.array([[0.0], [1.0]]),
        ml[:, :1] / np.maximum(ml[:, 1:], 1e-3),
        np.log(some),
        np.maximum(np.gradient(np.log(some), fractions, axis=2), -30.0),
        (mean - background) / height,
        np.clip(click, -1, 1),
        np.clip(start / np.maximum(peak, 1e-3), 0.0, 1.0),
        float(sharpened),
        own,
        rough,
    )
    found = np.zeros((*ml.shape, len(FEATURES)))
    for number, column in enumerate(columns):
        found[..., number] = column
    return found


def by_rule(rows: Array) -> int | None:
    """Which of the contours (contour, len(FEATURES)) the simple rule takes; None if it takes none."""
    column = rows.T
    allowed = (column[_COLUMN["sharpened"]] == 0) & (column[_COLUMN["not_from_point"]] == 0)
    allowed &= (column[_COLUMN["hull"]] == 0) & (column[_COLUMN["fraction"]] == RULE_FRACTION)
    allowed &= column[_COLUMN["lowest_saddle_crossed"]] >= RULE_SADDLE
    if not allowed.any():
        return None
    return int(np.where(allowed, column[_COLUMN["log_ml"]], -np.inf).argmax())


def compare_to_rule(rows: Array) -> None:
    """Fill in what compares each contour (contour, len(FEATURES)) with the one of the simple rule."""
    number = by_rule(rows)
    if number is None:
        rows[:, _COLUMN["rule_open_boundary"]] = 1.0
        return
    volume = rows[:, _COLUMN["log_ml"]]
    rows[:, _COLUMN["log_ml_by_rule"]] = np.clip(volume - volume[number], -3.0, 3.0)
    rows[:, _COLUMN["rule_open_boundary"]] = rows[number, _COLUMN["open_boundary"]]


def _each(values: list[float]) -> Array:
    return np.array(values)[:, None, None]
