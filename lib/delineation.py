"""A point near the centre of a lesion → the lesion, without leaking into its neighbours (ours).

The paper delineates nothing beyond its CAM. A fixed share of the maximum (41 %) leaks wherever an organ
touches the tumour. Here the box around the point is cut into watershed basins, one a local maximum; the
lesion is a union of basins, grown from one near the point across the highest saddles, and cut at a share of
its contrast over its own background. Every union at every share is a candidate; a small score of what can
be measured of a contour (is the point at its centre, does it have an edge all around, was a deep valley
crossed to get there) chooses among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np

from lib.basins import Basins, Union
from lib.contour_score import load_contour_score
from lib.volume import Volume
from lib.workers import apart

# Half the box's sides: a larger one is cut where the lesion reaches the end of the one before.
REACHES_MM = (50.0, 80.0, 128.0)
FRACTIONS = (0.10, 0.16, 0.22, 0.28, 0.34, 0.42)
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
    found: list[Contour] = []
    for reach_mm in reaches_mm:
        found = _contours_within(_box(ras, index, reach_mm), uncertainty_mm)
        if not _is_cut_off(found):
            break
    return found


def delineated(
    ras: Volume, index: np.ndarray, uncertainty_mm: float, reaches_mm: Sequence[float] = REACHES_MM
) -> tuple[Contour, float] | None:
    """The best of `contours` and its score, found by `lib.workers`; None of none."""
    found: tuple[Contour, float] | None = None
    for reach_mm in reaches_mm:
        found, cut_off = apart(_best_within, _box(ras, index, reach_mm), uncertainty_mm)
        if not cut_off:
            break
    return found


def _best_within(box: _Box, uncertainty_mm: float) -> tuple[tuple[Contour, float] | None, bool]:
    """The best contour in a box and its score, None of none; and whether the box cuts it off."""
    found = _contours_within(box, uncertainty_mm)
    if not found:
        return None, False
    worth = scores(found)
    return (found[int(worth.argmax())], float(worth.max())), _is_cut_off(found)


def _contours_within(box: _Box, uncertainty_mm: float) -> list[Contour]:
    basins = Basins.of(box.image, np.array(box.spacing), box.point)
    shapes = _Shapes(basins, box.point)
    found = []
    for union in basins.unions():
        body = _Body.of(basins, union)
        for shape, fraction in body.cuts(shapes):
            corner = tuple(s + w.start for s, w in zip(box.start, shape.window, strict=True))
            found.append(Contour(shape.inside, corner, _measured(body, shape, fraction, uncertainty_mm)))
    return found


def _is_cut_off(found: list[Contour]) -> bool:
    """Whether the best contour touches its box, if touching is not held against any."""
    if not found:
        return False
    features, touches = np.array([contour.features for contour in found]), FEATURES.index("touches_box")
    free = features.copy()
    free[:, touches] = 0.0
    return bool(features[load_contour_score(FEATURES)(free).argmax(), touches])


def scores(found: list[Contour]) -> np.ndarray:
    """(contour,) how much each looks like the whole of one lesion; the higher, the better."""
    return load_contour_score(FEATURES)(np.array([contour.features for contour in found]))


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
class _Shape:
    """The voxels of a contour, and what can be said of them whatever union they were cut from.

    Parameters
    ----------
    window : where it is in the box.
    inside : (x, y, z) bool in the window.
    around : SUV of the voxels that touch it.
    ml : volume.
    away_mm : from its centroid to the point.
    slope : mean gradient of its outermost voxels, SUV / mm.
    """

    window: tuple[slice, ...]
    inside: np.ndarray
    around: np.ndarray
    ml: float
    away_mm: float
    slope: float
    holds_point: bool
    touches_box: bool

    @classmethod
    def of(cls, basins: Basins, window: tuple[slice, ...], inside: np.ndarray, point: np.ndarray) -> _Shape:
        low = np.array([w.start for w in window])
        lines = _counts(inside)
        n = int(lines[0].sum())
        centre = np.array([line @ np.arange(line.size) / n for line in lines])
        shell, rim = _dilated(inside) & ~inside, inside & _dilated(~inside)
        nearest = np.rint(point).astype(int) - low
        touches = [
            (w.start == 0 and line[0] > 0) or (w.stop == whole and line[-1] > 0)
            for line, w, whole in zip(lines, window, basins.labels.shape, strict=True)
        ]
        return cls(
            window,
            inside,
            basins.image[window][shell],
            float(n * np.prod(basins.spacing)) / 1000.0,
            float(np.linalg.norm((centre + low - point) * basins.spacing)),
            float(basins.gradient[window][rim].mean()) if rim.any() else 0.0,
            bool((nearest >= 0).all() and (nearest < inside.shape).all() and inside[tuple(nearest)]),
            any(touches),
        )


class _Shapes:
    """The shapes of regions above thresholds, each made once: unions of basins have many in common."""

    def __init__(self, basins: Basins, point: np.ndarray) -> None:
        self._basins, self._point = basins, point
        self._known: dict[tuple[Any, ...], _Shape] = {}

    def of(self, window: tuple[slice, ...], region: np.ndarray) -> _Shape:
        """Of the largest connected part of (x, y, z) bool in a window of the box, holes filled."""
        key = (*(w.start for w in window), region.shape, region.tobytes())
        if key not in self._known:
            inside, part = _largest(region)
            self._known[key] = _Shape.of(self._basins, _inner(window, part), inside, self._point)
        return self._known[key]


@dataclass(frozen=True, eq=False)
class _Body:
    """The voxels of a union, its peak and what surrounds it.

    window : where it is in the box. image : (x, y, z) SUV in the window, -inf outside the union.
    """

    union: Union
    window: tuple[slice, ...]
    image: np.ndarray
    peak: float
    background: float

    @classmethod
    def of(cls, basins: Basins, union: Union) -> _Body:
        boxes = [box for b in union.basins if (box := basins.boxes[b - 1]) is not None]
        window = _around(boxes, basins.labels.shape)
        lookup = np.zeros(len(basins.peaks), dtype=bool)
        lookup[list(union.basins)] = True
        image = np.where(lookup[basins.labels[window]], basins.image[window], np.float32(-np.inf))
        peak = float(image.max())
        crop = _around([_extent(image >= min(FRACTIONS) * peak)], image.shape)
        window, image = _inner(window, crop), np.ascontiguousarray(image[crop])
        core = image > 0.42 * peak
        inner = _around([_extent(core)], core.shape)
        core = core[inner]
        outside = basins.image[_inner(window, inner)][_dilated(core, 3) & ~core]
        background = float(np.percentile(outside, 25)) if outside.size else 0.0
        return cls(union, window, image, peak, background)

    def cuts(self, shapes: _Shapes) -> Iterator[tuple[_Shape, float]]:
        """What is above each fraction of the contrast, and the fraction; none where that is no lesion."""
        window, image = self.window, self.image
        for fraction in FRACTIONS:
            region = image > self.threshold(fraction)
            if not region.any():
                return
            # What is above the next fraction lies in what is above this one.
            crop = _around([_extent(region)], region.shape, margin=1)
            window, image = _inner(window, crop), image[crop]
            shape = shapes.of(window, region[crop])
            if shape.ml <= MAX_ML:
                yield shape, fraction

    def threshold(self, fraction: float) -> float:
        return self.background + fraction * (self.peak - self.background)


def _measured(body: _Body, shape: _Shape, fraction: float, uncertainty_mm: float) -> np.ndarray:
    """(len(FEATURES),) what can be said of a contour without knowing the truth."""
    radius = (3 * shape.ml * 1000 / (4 * np.pi)) ** (1 / 3)
    offset = shape.away_mm / float(np.hypot(uncertainty_mm * 1.7, 0.25 * radius))
    height = max(body.peak - body.background, 1e-3)
    cut = np.count_nonzero(shape.around > body.threshold(fraction)) / shape.around.size if shape.around.size else 1.0
    return np.array(
        [
            offset,
            offset**2,
            cut,
            height / body.peak,
            body.union.crossed,
            body.union.refused,
            shape.slope * 10.0 / height,
            shape.holds_point,
            shape.touches_box,
            fraction,
            fraction**2,
            body.union.rank > 0,
        ],
        dtype=np.float64,
    )


def _counts(inside: np.ndarray) -> list[np.ndarray]:
    """Along x, y and z, how many voxels of each plane are set."""
    plane = inside.view(np.uint8).sum(axis=0, dtype=np.int32)
    return [np.count_nonzero(inside.reshape(len(inside), -1), axis=1), plane.sum(axis=1), plane.sum(axis=0)]


def _dilated(inside: np.ndarray, times: int = 1) -> np.ndarray:
    """(x, y, z) grown by the six neighbours. Nothing is set outside the array."""
    # Flat, a step along any axis is one of so many voxels; the border keeps it from reaching around the end of a line.
    middle = tuple(slice(times, times + n) for n in inside.shape)
    padded = np.zeros([n + 2 * times for n in inside.shape], dtype=bool)
    padded[middle] = inside
    flat = padded.ravel()
    for _ in range(times):
        grown = flat.copy()
        for step in (1, padded.shape[2], padded.shape[1] * padded.shape[2]):
            grown[step:] |= flat[:-step]
            grown[:-step] |= flat[step:]
        flat = grown
    return flat.reshape(padded.shape)[middle]


def _largest(region: np.ndarray) -> tuple[np.ndarray, tuple[slice, ...]]:
    """The largest connected part, holes filled, in the window of the region that holds it."""
    window = tuple(slice(0, n) for n in region.shape)
    regions, n = cc3d.connected_components(region, connectivity=6, return_N=True, binary_image=True)
    if n > 1:
        region = regions == 1 + np.argmax(np.bincount(regions.ravel())[1:])
        window = _around([_extent(region)], region.shape, margin=1)
    return _filled(region[window]), window


def _filled(inside: np.ndarray) -> np.ndarray:
    # A hole is empty space that does not reach the border of the array.
    spaces, n = cc3d.connected_components(~inside, connectivity=6, return_N=True, binary_image=True)
    if n <= 1:
        return inside
    outer = np.zeros(n + 1, dtype=bool)
    for axis in range(3):
        for end in (0, -1):
            outer[spaces.take(end, axis=axis)] = True
    outer[0] = False
    return ~outer[spaces]


def _extent(inside: np.ndarray) -> tuple[slice, ...]:
    """The box of what is set; at least one voxel is."""
    plane = inside.any(axis=0)
    lines = (inside.any(axis=(1, 2)), plane.any(axis=1), plane.any(axis=0))
    return tuple(slice(int(line.argmax()), line.size - int(line[::-1].argmax())) for line in lines)


def _inner(window: tuple[slice, ...], crop: tuple[slice, ...]) -> tuple[slice, ...]:
    return tuple(slice(w.start + c.start, w.start + c.stop) for w, c in zip(window, crop, strict=True))


def _around(boxes: list[tuple[slice, ...]], shape: tuple[int, ...], margin: int = 4) -> tuple[slice, ...]:
    return tuple(
        slice(max(0, min(b[a].start for b in boxes) - margin), min(n, max(b[a].stop for b in boxes) + margin))
        for a, n in enumerate(shape)
    )
