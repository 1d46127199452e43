"""Delineation: from a point near the centre of a lesion to its contour, without leaking into neighbours (ours).

The paper delineates nothing beyond its CAM, and a fixed share of the maximum (41 %) leaks wherever an organ touches the
tumour. The steps here:

1. The box around the point is cut into watershed basins, one for each local maximum (`basins`).
2. Starting from the basin of the point, unions of basins are grown across the highest saddles first.
3. Each union is thresholded at 18 shares of its contrast over its own background. The connected component, as it is or
   with its hull (as a reader's line runs around a cavity), is a candidate (`candidates`).
4. The same is done in a sharpened image, the image without its smooth part: a small lesion on the slope of a hotter one
   has no maximum of its own elsewhere.
5. A small network scores what can be measured of each candidate (`features`, `contour_score`): is the point at its
   centre, does it have an edge all around, was a deep valley crossed to get there.
6. Where the lesion more likely than not reaches the end of the box, a larger box is searched.

A click lies on its lesion, so no candidate of a click is grown from another basin, unless it holds the click.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from wslpet.core.arrays import Array
from wslpet.core.volume import Volume
from wslpet.method.delineation.basins import Basins
from wslpet.method.delineation.candidates import FRACTIONS, Candidate
from wslpet.method.delineation.contour_score import load_contour_score, select_contour
from wslpet.method.delineation.features import FEATURES, compare_to_rule, features

# Half the sides of the box, and of those that are searched where it cuts the lesion off.
REACHES_MM = (50.0, 80.0, 128.0)
MAX_ML = 2500.0
# A hull that adds less than this is no other contour.
LEAST_HULL = 1.03
# A small lesion beside a hotter one may have no maximum of its own: this near the point, it is looked for in what is
# left of the image without its smooth part, too.
SHARPENED_MM = 24.0
SLOPE_FWHM_MM = 12.0
# A point as near as this to the centre (SD per axis) is a click: it lies on the lesion.
CLICK_MM = 6.0


@dataclass(frozen=True, eq=False)
class Contour:
    """One candidate lesion.

    Parameters
    ----------
    inside : (x, y, z) bool in a window around it.
    start : first voxel of the window in the volume.
    features : (len(FEATURES),) what the score is computed from.
    """

    inside: Array
    start: tuple[int, int, int]
    features: Array

    @property
    def window(self) -> tuple[slice, ...]:
        """Where the window lies in the volume."""
        return tuple(slice(s, s + n) for s, n in zip(self.start, self.inside.shape, strict=True))

    def in_volume(self, shape: tuple[int, int, int]) -> Array:
        """(x, y, z) bool of the whole volume."""
        mask = np.zeros(shape, dtype=bool)
        mask[self.window] = self.inside
        return mask


def contours(
    ras: Volume, index: Array, uncertainty_mm: float, reaches_mm: Sequence[float] = REACHES_MM
) -> list[Contour]:
    """All candidate lesions around a point.

    Parameters
    ----------
    ras : (x, y, z) in SUV.
    index : fractional voxel index of the point.
    uncertainty_mm : SD per axis of the point around the lesion's centre.
    reaches_mm : see `REACHES_MM`.
    """
    found = _within(ras, index, uncertainty_mm, reaches_mm)
    return [found.contour(number) for number in range(len(found.features))]


def delineated(
    ras: Volume, index: Array, uncertainty_mm: float, reaches_mm: Sequence[float] = REACHES_MM
) -> tuple[Contour, float] | None:
    """The best of `contours`, see `Found.best`, and the highest score; None where there is none."""
    found = _within(ras, index, uncertainty_mm, reaches_mm)
    if not len(found.features):
        return None
    return found.contour(found.best()), float(found.scores.max())


def within(ras: Volume, index: Array, uncertainty_mm: float, reach_mm: float) -> Found:
    """All candidates in one box; the parameters are those of `contours`."""
    return Found.in_box(_box(ras, index, reach_mm), uncertainty_mm)


def best_first(
    ras: Volume, index: Array, uncertainty_mm: float, most: int, reaches_mm: Sequence[float] = REACHES_MM
) -> Iterator[Contour]:
    """The best so many of `contours`, each made when it is asked for."""
    found = _within(ras, index, uncertainty_mm, reaches_mm)
    if len(found.features):
        first = found.best()
        for number in [first, *(n for n in found.scores.argsort()[::-1].tolist() if n != first)][:most]:
            yield found.contour(number)


def _within(ras: Volume, index: Array, uncertainty_mm: float, reaches_mm: Sequence[float]) -> Found:
    for reach_mm in reaches_mm:
        found = within(ras, index, uncertainty_mm, reach_mm)
        if reach_mm == reaches_mm[-1] or not found.are_cut_off():
            break
    return found


@dataclass(frozen=True, eq=False)
class _Box:
    """Part of a scan around a point: image (x, y, z) in SUV, its first voxel in the scan, the point's voxel in it."""

    image: Array
    start: tuple[int, int, int]
    point: Array
    spacing: tuple[float, float, float]

    def around(self, reach_mm: float) -> _Box:
        """The part within so many mm of the point."""
        window = _near(self.point, self.image.shape, self.spacing, reach_mm)
        x, y, z = (a + w.start for a, w in zip(self.start, window, strict=True))
        point = self.point - [w.start for w in window]
        return _Box(np.ascontiguousarray(self.image[window]), (x, y, z), point, self.spacing)

    def sharpened(self) -> _Box:
        """With what is smooth taken away, so that a lesion on the slope of a hotter one has a maximum of its own."""
        smooth = ndimage.gaussian_filter(self.image, SLOPE_FWHM_MM / 2.355 / np.array(self.spacing), mode="nearest")
        return _Box(self.image - smooth, self.start, self.point, self.spacing)


def _box(ras: Volume, index: Array, reach_mm: float) -> _Box:
    window = _near(index, ras.shape, ras.spacing, reach_mm)
    x, y, z = (w.start for w in window)
    image = np.ascontiguousarray(ras.array[window], dtype=np.float32)
    return _Box(image, (x, y, z), np.asarray(index) - (x, y, z), ras.spacing)


def _near(
    index: Array, shape: tuple[int, ...], spacing: tuple[float, float, float], reach_mm: float
) -> tuple[slice, slice, slice]:
    reach = np.ceil(reach_mm / np.array(spacing)).astype(int)
    centre = np.clip(np.rint(index).astype(int), 0, np.array(shape) - 1)
    low, high = np.maximum(centre - reach, 0).tolist(), np.minimum(centre + reach + 1, shape).tolist()
    x, y, z = (slice(a, b) for a, b in zip(low, high, strict=True))
    return x, y, z


@dataclass(frozen=True, eq=False)
class Found:
    """The contours in a box, made when they are asked for.

    Parameters
    ----------
    parts : what was searched, the box and its sharpened middle, with the candidates of each.
    places : (contour, 4) of each its part, candidate, whether with the hull, level.
    features : (contour, len(FEATURES)).
    """

    parts: list[tuple[_Box, list[Candidate]]]
    places: Array
    features: Array

    @classmethod
    def in_box(cls, box: _Box, uncertainty_mm: float) -> Found:
        """Find all contours."""
        is_click = uncertainty_mm <= CLICK_MM
        parts = []
        places: list[Array] = [np.empty((0, 4), dtype=int)]
        rows: list[Array] = [np.empty((0, len(FEATURES)))]
        for number, (part, basins) in enumerate(_basins(box, is_click)):
            candidates = [one for union in basins.unions() for one in Candidate.from_union(basins, union)]
            parts.append((part, candidates))
            if not candidates:
                continue
            measured = np.stack([one.measurements(basins, part.point) for one in candidates])
            ml, holds_point = measured[..., 0], measured[..., 3] > 0
            keep = (ml > 0) & (ml <= MAX_ML)
            keep &= np.arange(len(FRACTIONS)) >= np.array([one.first_level for one in candidates])[:, None, None]
            keep[:, 1] &= ml[:, 1] >= LEAST_HULL * ml[:, 0]
            if is_click:
                keep &= holds_point | ~np.array([one.from_hottest for one in candidates])[:, None, None]
            where = np.argwhere(keep)
            places.append(np.column_stack([np.full(len(where), number), where]))
            rows.append(features(basins, candidates, measured, part.point, uncertainty_mm, number > 0)[keep])
        everything = np.concatenate(rows)
        compare_to_rule(everything)
        return cls(parts, np.concatenate(places), everything)

    @cached_property
    def scores(self) -> Array:
        """(contour,) of the shipped score."""
        return load_contour_score(FEATURES)(self.features)

    def contour(self, number: int) -> Contour:
        """Make one."""
        part, candidate, hull, level = self.places[number].tolist()
        box, candidates = self.parts[part]
        inside, corner = candidates[candidate].threshold_component(level, bool(hull))
        x, y, z = (a + b for a, b in zip(box.start, corner, strict=True))
        return Contour(inside, (x, y, z), self.features[number])

    def dice(self, truth: Array) -> Array:
        """(contour,) Dice of each with a mask (x, y, z) of the scan, holes that are not filled left open."""
        total = np.count_nonzero(truth)
        found = np.empty(len(self.places))
        for number, (box, candidates) in enumerate(self.parts):
            window = tuple(slice(s, s + n) for s, n in zip(box.start, box.image.shape, strict=True))
            own = self.places[:, 0] == number
            if own.any():
                both = np.stack([one.overlaps(truth[window]) for one in candidates])
                _, candidate, hull, level = self.places[own].T
                voxels = np.exp(self.features[own, FEATURES.index("log_ml")]) * 1000 / np.prod(box.spacing)
                found[own] = 2 * both[candidate, hull, level] / (np.rint(voxels) + total)
        return found

    def best(self) -> int:
        """Which contour is the lesion's, see `select_contour`."""
        return select_contour(self.scores, np.exp(self.features[:, FEATURES.index("log_ml")]))

    def are_cut_off(self) -> bool:
        """Whether the lesion more likely than not reaches the end of the box, if that is not held against any."""
        if not len(self.features):
            return False
        touches = FEATURES.index("touches_box")
        free = self.features.copy()
        free[:, touches] = 0.0
        scores = load_contour_score(FEATURES)(free)
        likely = np.exp(scores - scores.max())
        return bool(likely @ self.features[:, touches] > 0.5 * likely.sum())


def _basins(box: _Box, is_click: bool) -> list[tuple[_Box, Basins]]:
    """Of the box, and of the sharpened image near the point."""
    whole = Basins.of(box.image, np.array(box.spacing), box.point, alone=is_click)
    part = box.around(SHARPENED_MM).sharpened()
    near = Basins.of(part.image, np.array(part.spacing), part.point, alone=True)
    return [(box, whole), (part, near)] if whole.starts and near.starts else [(box, whole)]
