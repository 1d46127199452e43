"""Larger and smaller contours of a lesion, in steps along its watershed basins (ours)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wslpet.core.arrays import Array
from wslpet.core.volume import Volume
from wslpet.method.delineation.contours import REACHES_MM, Contour, Found, delineated, within
from wslpet.method.delineation.features import FEATURES

# A step changes the volume by at least this factor; among what is within the second factor of the smallest such step,
# the one with the best score is taken.
STEP = 1.15
CHOICE = 1.3
# Only so many candidates of about the same volume are looked at, the best.
ALIKE = 4


def nested_contours(
    ras: Volume,
    index: Array,
    uncertainty_mm: float,
    reaches_mm: Sequence[float] = REACHES_MM,
    around: Contour | None = None,
) -> tuple[list[Contour], int]:
    """Contours that contain one another, the smallest first, and which of them is the lesion's.

    Parameters
    ----------
    ras : (x, y, z) in SUV.
    index : fractional voxel index of the point.
    uncertainty_mm, reaches_mm : see `contours.delineated`.
    around : the contour to start from; that of `contours.delineated` if None. It is one of the list as it is.

    Returns
    -------
    the contours, each in all that follow, and the place in the list of `around`. Those that are smaller hold the point
    if `around` does. Empty, and 0, where there is no contour at the point.
    """
    if around is None:
        found = delineated(ras, index, uncertainty_mm, reaches_mm)
        if found is None:
            return [], 0
        around, _ = found
    boxes = _boxes(ras, index, reaches_mm, around)
    all_of = [step for reach in boxes for step in _best_by_volume(within(ras, index, uncertainty_mm, reach))]
    smaller = _steps_down(around, all_of, np.rint(index).astype(int))
    return [*smaller, around, *_steps_up(around, all_of)], len(smaller)


def _boxes(ras: Volume, index: Array, reaches_mm: Sequence[float], around: Contour) -> Sequence[float]:
    """The box that holds a contour, and the next larger one."""
    ends = np.abs(np.array(around.ends) - index) * ras.spacing
    holding = next((n for n, reach in enumerate(reaches_mm) if reach > ends.max()), len(reaches_mm) - 1)
    return reaches_mm[holding : holding + 2]


class _Step(NamedTuple):
    score: float
    contour: Contour
    voxels: int


def _best_by_volume(found: Found) -> list[_Step]:
    """Of the contours of about the same volume, the `ALIKE` best."""
    if not len(found.features):
        return []
    volumes = np.floor(found.features[:, FEATURES.index("log_ml")] / np.log(STEP)).astype(int)
    order = found.scores.argsort()[::-1]
    best = [number for volume in np.unique(volumes) for number in order[volumes[order] == volume][:ALIKE].tolist()]
    contours = [found.contour(number) for number in best]
    return [_Step(float(found.scores[n]), one, _size(one)) for n, one in zip(best, contours, strict=True)]


def _steps_up(around: Contour, others: list[_Step]) -> list[Contour]:
    steps: list[Contour] = []
    here = _Step(0.0, around, _size(around))
    while True:
        others = [one for one in others if one.voxels >= STEP * here.voxels and _contains(one.contour, here.contour)]
        if not others:
            return steps
        least = min(one.voxels for one in others)
        here = max((one for one in others if one.voxels <= CHOICE * least), key=lambda one: one.score)
        steps.append(here.contour)


def _steps_down(around: Contour, others: list[_Step], point: Array) -> list[Contour]:
    steps: list[Contour] = []
    here = _Step(0.0, around, _size(around))
    if _holds(around, point):
        others = [one for one in others if _holds(one.contour, point)]
    while True:
        others = [one for one in others if STEP * one.voxels <= here.voxels and _contains(here.contour, one.contour)]
        if not others:
            return steps[::-1]
        most = max(one.voxels for one in others)
        here = max((one for one in others if CHOICE * one.voxels >= most), key=lambda one: one.score)
        steps.append(here.contour)


def _size(contour: Contour) -> int:
    return int(np.count_nonzero(contour.inside))


def _holds(contour: Contour, point: Array) -> bool:
    place = point - contour.start
    if (place < 0).any() or (place >= contour.inside.shape).any():
        return False
    return bool(contour.inside[tuple(place)])


def _contains(large: Contour, small: Contour) -> bool:
    """Whether every voxel of the one is of the other."""
    low = np.subtract(small.start, large.start)
    high = low + small.inside.shape
    if (low < 0).any() or (high > large.inside.shape).any():
        return False
    part = large.inside[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return not (small.inside & ~part).any()
