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
6. Where the lesion probably reaches the end of the box, a larger box is searched. The smallest box holds
   most lesions in a fifth of the voxels of the next one; large boxes are searched on averaged voxels (`boxes`).

A click lies on its lesion, so no candidate of a click is grown from another basin, unless it holds the click.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wslpet.core.arrays import Array
from wslpet.core.volume import Volume
from wslpet.method.delineation.basins import Basins
from wslpet.method.delineation.boxes import SHARPENED_MM, Box, averaged
from wslpet.method.delineation.candidates import FRACTIONS, Candidate, measurements
from wslpet.method.delineation.contour_score import load_contour_score, select_contour
from wslpet.method.delineation.features import FEATURES, compare_to_rule, features

# Half the sides of the box, and of those that are searched where it cuts the lesion off.
REACHES_MM = (32.0, 50.0, 80.0, 128.0)
# A box holds a lesion that ends so far from its sides.
MARGIN_MM = 6.0
# The lesion is cut off if this share of what the score believes in reaches the end of the box. Of 0.3, 0.5 and 0.7 the
# best on 40 plain and 48 hard phantoms and 120 scenes, by little, and the fastest.
CUT_OFF = 0.7
# The best contours of two boxes are of one lesion if the larger has at most so many times the volume of the other. Dice
# and false positive of 200 hard phantoms without this 0.850 and 9.4 ml; with 1.5, 2, 3 and 5: 0.855, 0.854, 0.854 and
# 0.852, 2.5, 2.5, 2.7 and 3.9 ml. With 3 or 5, nothing changes on 36 real lesions.
SAME_VOLUME = 3.0
MAX_ML = 2500.0
# A hull that adds less than this is no other contour.
LEAST_HULL = 1.03
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

    @property
    def ends(self) -> tuple[Array, Array]:
        """First and last voxel along each axis, (3,) each."""
        return np.array(self.start), np.add(self.start, self.inside.shape) - 1

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


def within(ras: Volume, index: Array, uncertainty_mm: float, reach_mm: float, thinned: bool = True) -> Found:
    """All candidates in one box, on averaged voxels if it is `thinned`; other parameters are those of `contours`."""
    box = Box.around(ras, index, reach_mm, thinned)
    return Found.in_boxes(box, _sharpened(ras, index, thinned), uncertainty_mm)


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
    near, smaller = _sharpened(ras, index), []
    for reach_mm in reaches_mm:
        found = Found.in_boxes(Box.around(ras, index, reach_mm), near, uncertainty_mm)
        if reach_mm == reaches_mm[-1] or not found.are_cut_off():
            break
        smaller.append((reach_mm, found))
    if smaller and len(found.features):
        ends = np.array(found.contour(found.best()).ends) - index
        far_mm = float(np.abs(ends * ras.spacing).max()) + MARGIN_MM
        # The larger box was not needed, and has coarser voxels. A smaller one with another best contour was left for
        # good: that contour is a leak, which the larger box does not choose.
        fitting = (one for reach_mm, one in smaller if reach_mm > far_mm and len(one.features))
        return next((one for one in fitting if one.agrees_with(found)), found)
    return found


@dataclass(frozen=True, eq=False)
class _Part:
    """A box that was searched, its basins and candidates, and the measurements of these."""

    box: Box
    basins: Basins
    candidates: list[Candidate]
    measured: Array

    @classmethod
    def searched(cls, box: Box, alone: bool) -> _Part:
        """Search a box; alone : from the basin of its point only."""
        basins = Basins.of(box.image, box.spacing, box.point, alone)
        candidates = [one for union in basins.unions() for one in Candidate.from_union(basins, union)]
        return cls(box, basins, candidates, measurements(candidates, basins, box.point))

    def kept(self, is_click: bool) -> Array:
        """(candidate, 2, level) bool: which components are contours."""
        ml, holds_point = self.measured[..., 0], self.measured[..., 3] > 0
        keep: Array = (ml > 0) & (ml <= MAX_ML)
        first_levels = np.array([one.first_level for one in self.candidates], dtype=int)
        keep &= np.arange(len(FRACTIONS)) >= first_levels[:, None, None]
        keep[:, 1] &= ml[:, 1] >= LEAST_HULL * ml[:, 0]
        if is_click:
            from_hottest = np.array([one.from_hottest for one in self.candidates], dtype=bool)
            keep &= holds_point | ~from_hottest[:, None, None]
        return keep


def _sharpened(ras: Volume, index: Array, thinned: bool = True) -> _Part:
    """The sharpened image near a point, which is the same for boxes of all sizes."""
    return _Part.searched(Box.around(ras, index, SHARPENED_MM, thinned).sharpened(), alone=True)


@dataclass(frozen=True, eq=False)
class Found:
    """The contours in a box, made when they are asked for.

    Parameters
    ----------
    parts : what was searched, the box and the sharpened image near the point.
    places : (contour, 4) of each its part, candidate, whether with the hull, level.
    features : (contour, len(FEATURES)).
    """

    parts: tuple[_Part, _Part]
    places: Array
    features: Array

    @classmethod
    def in_boxes(cls, box: Box, near: _Part, uncertainty_mm: float) -> Found:
        """Find all contours in a box, with those in the sharpened image."""
        is_click = uncertainty_mm <= CLICK_MM
        parts = (_Part.searched(box, is_click), near)
        places: list[Array] = []
        rows: list[Array] = []
        for number, part in enumerate(parts):
            keep = part.kept(is_click)
            where = np.argwhere(keep)
            places.append(np.column_stack([np.full(len(where), number), where]))
            if len(where):
                point = part.box.point
                of_all = features(part.basins, part.candidates, part.measured, point, uncertainty_mm, number > 0)
                rows.append(of_all[keep])
        everything = np.concatenate([np.empty((0, len(FEATURES))), *rows])
        compare_to_rule(everything)
        return cls(parts, np.concatenate(places), everything)

    @cached_property
    def scores(self) -> Array:
        """(contour,) of the shipped score."""
        return load_contour_score(FEATURES)(self.features)

    def contour(self, number: int) -> Contour:
        """Make one."""
        of_part, of_candidate, hull, level = self.places[number].tolist()
        part = self.parts[of_part]
        candidate = part.candidates[of_candidate]
        inside, corner = candidate.threshold_component(level, bool(hull))
        inside, start = part.box.in_scan(inside, corner, part.basins.image, candidate.threshold(level))
        return Contour(inside, start, self.features[number])

    def dice(self, truth: Array) -> Array:
        """(contour,) Dice of each with a mask (x, y, z) of the scan, in voxels of its box, holes left open."""
        found = np.empty(len(self.places))
        for number, part in enumerate(self.parts):
            own = self.places[:, 0] == number
            if own.any():
                box = part.box
                shares = averaged(truth[box.window].astype(np.float32), box.steps)
                both = np.stack([one.overlaps(shares) for one in part.candidates])
                _, candidate, hull, level = self.places[own].T
                voxels = np.exp(self.features[own, FEATURES.index("log_ml")]) * 1000 / np.prod(box.spacing)
                total = np.count_nonzero(truth) / np.prod(box.steps)
                found[own] = 2 * both[candidate, hull, level] / (np.rint(voxels) + total)
        return found

    def best(self) -> int:
        """Which contour is the lesion's, see `select_contour`."""
        return select_contour(self.scores, np.exp(self.features[:, FEATURES.index("log_ml")]))

    def agrees_with(self, other: Found) -> bool:
        """Whether the best contours of two boxes have about the same volume, see `SAME_VOLUME`."""
        one, two = (found.features[found.best(), FEATURES.index("log_ml")] for found in (self, other))
        return bool(abs(one - two) <= np.log(SAME_VOLUME))

    def are_cut_off(self) -> bool:
        """Whether the lesion probably reaches the end of the box, if that is not held against any; see `CUT_OFF`."""
        if not len(self.features):
            return False
        touches = FEATURES.index("touches_box")
        free = self.features.copy()
        free[:, touches] = 0.0
        scores = load_contour_score(FEATURES)(free)
        likely = np.exp(scores - scores.max())
        return bool(likely @ self.features[:, touches] > CUT_OFF * likely.sum())
