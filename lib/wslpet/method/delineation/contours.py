"""A point near the centre of a lesion → the lesion, without leaking into its neighbours (ours).

The paper delineates nothing beyond its CAM. A fixed share of the maximum (41 %) leaks wherever an organ
touches the tumour. Here the box around the point is cut into watershed basins, one a local maximum; the
lesion is a union of basins, grown from one near the point across the highest saddles, and cut at a share of
its contrast over its own background, as it is or with its hull, as a reader's line runs around a cavity. A
small lesion on the slope of a hotter one has no maximum of its own; it is looked for in the image without
its smooth part, too. Every union at every share is a candidate; a small score of what can be measured of a
contour (is the point at its centre, does it have an edge all around, was a deep valley crossed to get there)
chooses among them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from wslpet.core.arrays import Array
from wslpet.core.volume import Volume
from wslpet.method.delineation.candidates import FRACTIONS, Body
from wslpet.method.delineation.contour_score import load_contour_score
from wslpet.method.delineation.watershed import Basins

# Half the box's sides: a larger one is cut where the lesion reaches the end of the one before.
REACHES_MM = (50.0, 80.0, 128.0)
MAX_ML = 2500.0
# A hull that adds less than this is no other contour.
LEAST_HULL = 1.03
# A small lesion beside a hotter one may have no maximum of its own: this near the point, it is looked for in what is
# left of the image without its smooth part, unless the maximum found there is known, and no pass as high as
# this share of it leads away.
SHARPENED_MM = 24.0
SLOPE_FWHM_MM = 12.0
SAME_TOP_MM = 6.0
FLAT = 0.75

FEATURES = (
    "offset",
    "offset_squared",
    "cut",
    "contrast",
    "crossed",
    "refused",
    "edge",
    "holds_point",
    "touches_box",
    "fraction",
    "fraction_squared",
    "rank",
    "hull",
    "solidity",
    "log_ml",
    "growth",
    "mean_share",
    "click_share",
    "heat",
    "sharpened",
)


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
    """The best of `contours` and its score; None of none."""
    found = _within(ras, index, uncertainty_mm, reaches_mm)
    if not len(found.features):
        return None
    worth = load_contour_score(FEATURES)(found.features)
    return found.contour(int(worth.argmax())), float(worth.max())


def candidates_within(ras: Volume, index: Array, uncertainty_mm: float, reach_mm: float) -> list[tuple[float, Contour]]:
    """Score and contour of all candidates in one box; the parameters are those of `contours`."""
    found = _Candidates.of(_box(ras, index, reach_mm), uncertainty_mm)
    if not len(found.features):
        return []
    scores = load_contour_score(FEATURES)(found.features).tolist()
    return [(score, found.contour(number)) for number, score in enumerate(scores)]


def best_first(
    ras: Volume, index: Array, uncertainty_mm: float, most: int, reaches_mm: Sequence[float] = REACHES_MM
) -> Iterator[Contour]:
    """The best so many of `contours`, each made when it is asked for."""
    found = _within(ras, index, uncertainty_mm, reaches_mm)
    if len(found.features):
        for number in load_contour_score(FEATURES)(found.features).argsort()[::-1][:most]:
            yield found.contour(int(number))


def _within(ras: Volume, index: Array, uncertainty_mm: float, reaches_mm: Sequence[float]) -> _Candidates:
    for reach_mm in reaches_mm:
        found = _Candidates.of(_box(ras, index, reach_mm), uncertainty_mm)
        if reach_mm == reaches_mm[-1] or not found.are_cut_off():
            break
    return found


@dataclass(frozen=True, eq=False)
class _Box:
    """The part of a scan around a point.

    image : (x, y, z) SUV, contiguous. start : its first voxel in the scan. point : fractional voxel of the box.
    """

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
class _Candidates:
    """The contours in a box.

    Parameters
    ----------
    cuts : of each, the body, the level, whether with the hull, and where in the scan the body's box begins.
    features : (contour, len(FEATURES)).
    """

    cuts: list[tuple[Body, int, bool, Array]]
    features: Array

    @classmethod
    def of(cls, box: _Box, uncertainty_mm: float) -> _Candidates:
        cuts, features = [], [np.empty((0, len(FEATURES)))]
        for sharpened, (part, basins) in enumerate(_basins(box)):
            at = np.array(part.start)
            for union in basins.unions():
                body = Body.of(basins, union)
                if body is None:
                    continue
                measured = body.measured(basins, part.point)
                ml = measured[..., 0]
                keep = (ml > 0) & (ml <= MAX_ML) & (np.arange(len(FRACTIONS)) >= body.first)
                keep[1] &= ml[1] >= LEAST_HULL * ml[0]
                features.append(_features(basins, body, measured, part.point, uncertainty_mm, bool(sharpened))[keep])
                cuts += [(body, int(level), bool(hull), at) for hull, level in np.argwhere(keep)]
        return cls(cuts, np.concatenate(features))

    def contour(self, number: int) -> Contour:
        body, level, hull, corner = self.cuts[number]
        inside, at = body.cut(level, hull)
        x, y, z = (corner + at).tolist()
        return Contour(inside, (x, y, z), self.features[number])

    def are_cut_off(self) -> bool:
        """Whether the best contour touches the box, if touching is not held against any."""
        if not self.cuts:
            return False
        touches = FEATURES.index("touches_box")
        free = self.features.copy()
        free[:, touches] = 0.0
        return bool(self.features[load_contour_score(FEATURES)(free).argmax(), touches])


def _basins(box: _Box) -> list[tuple[_Box, Basins]]:
    """Of the box; and of the sharpened image, where the point's own maximum is another there, or barely stands out."""
    part = box.around(SHARPENED_MM).sharpened()
    whole = Basins.of(box.image, np.array(box.spacing), box.point)
    near = Basins.of(part.image, np.array(part.spacing), part.point, alone=True)
    if not whole.starts or not near.starts:
        return [(box, whole)]
    own = whole.starts[0]
    apart = whole.tops[own] + box.start - near.tops[near.starts[0]] - part.start
    hidden = np.linalg.norm(apart * box.spacing) > SAME_TOP_MM or whole.saddles[own].max() > FLAT * whole.peaks[own]
    return [(box, whole), (part, near)] if hidden else [(box, whole)]


def _features(
    basins: Basins, body: Body, measured: Array, point: Array, uncertainty_mm: float, sharpened: bool
) -> Array:
    """(2, level, len(FEATURES)) what can be said of contours without knowing the truth."""
    ml, away_mm, mean, holds_point, touches_box, slope, cut = np.moveaxis(measured, -1, 0)
    fractions = np.array(FRACTIONS)
    some = np.maximum(ml, 1e-3)
    radius = (3 * some * 1000 / (4 * math.pi)) ** (1 / 3)
    offset = away_mm / np.hypot(uncertainty_mm * 1.7, 0.25 * radius)
    height = max(body.peak - body.background, 1e-3)
    nearest = tuple(np.clip(np.rint(point).astype(int), 0, np.array(basins.image.shape) - 1))
    click = (float(basins.image[nearest]) - body.background) / height - fractions
    grown = np.gradient(np.log(some), fractions, axis=1)
    one = np.ones_like(ml)
    return np.stack(
        [
            offset,
            offset**2,
            cut,
            one * min(height / max(body.peak, 1e-3), 2.0),
            one * body.union.crossed,
            one * body.union.refused,
            slope * 10.0 / height,
            holds_point,
            touches_box,
            one * fractions,
            one * fractions**2,
            one * float(body.union.rank > 0),
            one * np.array([[0.0], [1.0]]),
            one * ml[0] / np.maximum(ml[1], 1e-3),
            np.log(some),
            np.maximum(grown, -30.0),
            (mean - body.background) / height,
            one * np.clip(click, -1, 1),
            one * np.clip(basins.peaks[body.union.start] / max(body.peak, 1e-3), 0.0, 1.0),
            one * float(sharpened),
        ],
        axis=-1,
    )
