"""A point near the centre of a lesion → the lesion, without leaking into its neighbours (ours).

The paper delineates nothing beyond its CAM. A fixed share of the maximum (41 %) leaks wherever an organ
touches the tumour. Here the box around the point is cut into watershed basins, one a local maximum; the
lesion is a union of basins, grown from one near the point across the highest saddles, and cut at a share of
its contrast over its own background. Every union at every share is a candidate; a small score of what can
be measured of a contour (is the point at its centre, does it have an edge all around, was a deep valley
crossed to get there) chooses among them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wslpet.core.volume import Volume
from wslpet.method.delineation.candidates import FRACTIONS, MEASURED, Body
from wslpet.method.delineation.contour_score import load_contour_score
from wslpet.method.delineation.watershed import Basins

# Half the box's sides: a larger one is cut where the lesion reaches the end of the one before.
REACHES_MM = (50.0, 80.0, 128.0)
MAX_ML = 2500.0

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

    inside: np.ndarray
    start: tuple[int, int, int]
    features: np.ndarray

    @property
    def window(self) -> tuple[slice, ...]:
        """Where the window lies in the volume."""
        return tuple(slice(s, s + n) for s, n in zip(self.start, self.inside.shape, strict=True))

    def in_volume(self, shape: tuple[int, int, int]) -> np.ndarray:
        """(x, y, z) bool of the whole volume."""
        mask = np.zeros(shape, dtype=bool)
        mask[self.window] = self.inside
        return mask


def contours(
    ras: Volume, index: np.ndarray, uncertainty_mm: float, reaches_mm: Sequence[float] = REACHES_MM
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
    ras: Volume, index: np.ndarray, uncertainty_mm: float, reaches_mm: Sequence[float] = REACHES_MM
) -> tuple[Contour, float] | None:
    """The best of `contours` and its score; None of none."""
    found = _within(ras, index, uncertainty_mm, reaches_mm)
    if not len(found.features):
        return None
    worth = load_contour_score(FEATURES)(found.features)
    return found.contour(int(worth.argmax())), float(worth.max())


def best_first(
    ras: Volume, index: np.ndarray, uncertainty_mm: float, most: int, reaches_mm: Sequence[float] = REACHES_MM
) -> Iterator[Contour]:
    """The best so many of `contours`, each made when it is asked for."""
    found = _within(ras, index, uncertainty_mm, reaches_mm)
    if len(found.features):
        for number in load_contour_score(FEATURES)(found.features).argsort()[::-1][:most]:
            yield found.contour(int(number))


def _within(ras: Volume, index: np.ndarray, uncertainty_mm: float, reaches_mm: Sequence[float]) -> _Candidates:
    for reach_mm in reaches_mm:
        found = _Candidates.of(_box(ras, index, reach_mm), uncertainty_mm)
        if not found.are_cut_off():
            break
    return found


@dataclass(frozen=True, eq=False)
class _Box:
    """The part of a scan around a point.

    image : (x, y, z) SUV, contiguous. start : its first voxel in the scan. point : fractional voxel of the box.
    """

    image: np.ndarray
    start: tuple[int, int, int]
    point: np.ndarray
    spacing: tuple[float, float, float]


def _box(ras: Volume, index: np.ndarray, reach_mm: float) -> _Box:
    reach = np.ceil(reach_mm / np.array(ras.spacing)).astype(int)
    centre = np.clip(np.rint(index).astype(int), 0, np.array(ras.shape) - 1)
    low = np.maximum(centre - reach, 0)
    high = np.minimum(centre + reach + 1, ras.shape)
    image = ras.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    start = (int(low[0]), int(low[1]), int(low[2]))
    return _Box(np.ascontiguousarray(image, dtype=np.float32), start, np.asarray(index) - low, ras.spacing)


@dataclass(frozen=True, eq=False)
class _Candidates:
    """The contours in a box.

    Parameters
    ----------
    start : first voxel of the box in the scan.
    cuts : of each, the body and the fraction of its contrast.
    features : (contour, len(FEATURES)).
    """

    start: tuple[int, int, int]
    cuts: list[tuple[Body, float]]
    features: np.ndarray

    @classmethod
    def of(cls, box: _Box, uncertainty_mm: float) -> _Candidates:
        basins = Basins.of(box.image, np.array(box.spacing), box.point)
        cuts, features = [], []
        for union in basins.unions():
            body = Body.of(basins, union)
            for fraction, measured in zip(FRACTIONS, body.measured(basins, box.point), strict=False):
                if measured[MEASURED.index("ml")] <= MAX_ML:
                    cuts.append((body, fraction))
                    features.append(_features(body, measured.tolist(), fraction, uncertainty_mm))
        return cls(box.start, cuts, np.array(features))

    def contour(self, number: int) -> Contour:
        body, fraction = self.cuts[number]
        inside, at = body.cut(fraction)
        start = (self.start[0] + at[0], self.start[1] + at[1], self.start[2] + at[2])
        return Contour(inside, start, self.features[number])

    def are_cut_off(self) -> bool:
        """Whether the best contour touches the box, if touching is not held against any."""
        if not self.cuts:
            return False
        touches = FEATURES.index("touches_box")
        free = self.features.copy()
        free[:, touches] = 0.0
        return bool(self.features[load_contour_score(FEATURES)(free).argmax(), touches])


def _features(body: Body, measured: list[float], fraction: float, uncertainty_mm: float) -> tuple[float, ...]:
    """(len(FEATURES),) what can be said of a contour without knowing the truth."""
    ml, away_mm, slope, cut, holds_point, touches_box = measured
    radius = (3 * ml * 1000 / (4 * math.pi)) ** (1 / 3)
    offset = away_mm / math.hypot(uncertainty_mm * 1.7, 0.25 * radius)
    height = max(body.peak - body.background, 1e-3)
    return (
        offset,
        offset**2,
        cut,
        height / body.peak,
        body.union.crossed,
        body.union.refused,
        slope * 10.0 / height,
        holds_point,
        touches_box,
        fraction,
        fraction**2,
        float(body.union.rank > 0),
    )
