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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
from scipy import ndimage

from lib.contour_score import load_contour_score
from lib.volume import Volume

# Half the box's sides: a larger one is cut where the lesion reaches the end of the one before.
REACHES_MM = (50.0, 80.0, 128.0)
# Basins are found on a smoother image than the one whose level is the contour.
BASIN_FWHM_MM = 6.0
CONTOUR_FWHM_MM = 2.5
# Basins start this near the point; a person's click and a CAM both land within it.
START_MM = 20.0
START_BASINS = 4
# Two maxima with a saddle at this share of the lower are one maximum with noise.
SAME_PEAK = 0.92
FLOOR = 0.12
FRACTIONS = (0.10, 0.16, 0.22, 0.28, 0.34, 0.42)
PASSES = (0.92, 0.87, 0.82, 0.77, 0.70, 0.62, 0.52, 0.40)
MAX_ML = 2500.0
# Along each axis, (all but the first, all but the last): a voxel and the one before it.
_NEIGHBOURS = tuple(
    tuple(tuple(part if a == axis else slice(None) for a in range(3)) for part in (slice(1, None), slice(None, -1)))
    for axis in range(3)
)

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
        found = _contours_within(ras, index, uncertainty_mm, reach_mm)
        if not _is_cut_off(found):
            break
    return found


def _contours_within(ras: Volume, index: np.ndarray, uncertainty_mm: float, reach_mm: float) -> list[Contour]:
    box, start = _box(ras, index, reach_mm)
    point = np.asarray(index) - start
    basins = _Basins.of(box, np.array(ras.spacing), point)

    found = []
    for union in basins.unions():
        body = _Body.of(basins, union)
        for cut in body.cuts(basins):
            corner = tuple(s + w.start for s, w in zip(start, cut.window, strict=True))
            found.append(Contour(cut.inside, corner, _measured(basins, body, cut, point, uncertainty_mm)))
    return found


def _is_cut_off(found: list[Contour]) -> bool:
    """Whether the best contour touches its box, if touching is not held against any."""
    if not found:
        return False
    features, touches = np.array([contour.features for contour in found]), FEATURES.index("touches_box")
    free = features.copy()
    free[:, touches] = 0.0
    return bool(features[load_contour_score(FEATURES)(free).argmax(), touches])


def best(found: list[Contour]) -> Contour | None:
    """The contour with the highest score; None of none."""
    return found[int(scores(found).argmax())] if found else None


def scores(found: list[Contour]) -> np.ndarray:
    """(contour,) how much each looks like the whole of one lesion; the higher, the better."""
    return load_contour_score(FEATURES)(np.array([contour.features for contour in found]))


def _box(ras: Volume, index: np.ndarray, reach_mm: float) -> tuple[np.ndarray, tuple[int, int, int]]:
    reach = np.ceil(reach_mm / np.array(ras.spacing)).astype(int)
    centre = np.clip(np.rint(index).astype(int), 0, np.array(ras.shape) - 1)
    low = np.maximum(centre - reach, 0)
    high = np.minimum(centre + reach + 1, ras.shape)
    box = ras.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return np.ascontiguousarray(box, dtype=np.float32), (int(low[0]), int(low[1]), int(low[2]))


@dataclass(frozen=True, eq=False)
class _Basins:
    """The box cut at its valleys.

    image : (x, y, z) SUV, lightly smoothed. gradient : its slope in SUV / mm.
    labels : (x, y, z) basin of each voxel, 0 below the floor. boxes : bounding box of each basin.
    peaks : SUV of each maximum, by basin. saddles : {basin: {neighbour: SUV of the highest pass}}.
    starts : basins near the point, best first.
    """

    image: np.ndarray
    gradient: np.ndarray
    labels: np.ndarray
    boxes: list[tuple[slice, ...] | None]
    peaks: list[float]
    saddles: dict[int, dict[int, float]]
    starts: list[int]
    spacing: np.ndarray

    @classmethod
    def of(cls, box: np.ndarray, spacing: np.ndarray, point: np.ndarray) -> _Basins:
        with ThreadPoolExecutor(1) as beside:
            smoothed = beside.submit(_image_and_gradient, box, spacing)
            labels, boxes, peaks, saddles, starts = cls._parts(box, spacing, point)
            image, gradient = smoothed.result()
        return cls(image, gradient, labels, boxes, peaks, saddles, starts, spacing)

    @staticmethod
    def _parts(box: np.ndarray, spacing: np.ndarray, point: np.ndarray) -> tuple[Any, ...]:
        """`labels`, `boxes`, `peaks`, `saddles` and `starts`."""
        smooth = ndimage.gaussian_filter(box, BASIN_FWHM_MM / 2.355 / spacing, mode="nearest", truncate=2.5)
        top = _uphill(smooth, [1 if s > 2.5 else 2 for s in spacing])
        tops = np.flatnonzero(top.ravel() == np.arange(top.size))
        values = smooth.ravel()[tops]
        maxima = np.stack(np.unravel_index(tops, box.shape), axis=1)
        near = _starts(values, np.linalg.norm((maxima - point) * spacing, axis=1))
        floor = min(FLOOR * float(values[near].min()), float(values[near].min()) - 1e-6)
        keep = values > floor
        numbers = np.zeros(top.size, dtype=np.int32)
        numbers[tops[keep]] = np.arange(1, keep.sum() + 1)
        labels = numbers[top] * (smooth > floor)
        peaks = np.concatenate([[0.0], values[keep]])
        number = np.cumsum(keep)[near]
        passes = _saddles(labels, smooth)
        roots = _merge_noise(peaks.tolist(), passes)
        saddles: dict[int, dict[int, float]] = {}
        # Lowest first, so that the highest pass of two basins is the one that stays.
        for a, b, height in reversed(passes):
            a, b = roots[a], roots[b]
            if a != b:
                saddles.setdefault(a, {})[b] = height
                saddles.setdefault(b, {})[a] = height
        labels = np.array(roots, dtype=np.int32)[labels]
        starts = list(dict.fromkeys(roots[n] for n in number))
        return labels, ndimage.find_objects(labels), peaks.tolist(), saddles, starts

    def unions(self) -> Iterator[_Union]:
        """All different unions of basins grown from the starts."""
        seen = set()
        for rank, start in enumerate(self.starts):
            for union in self._grown(start, rank):
                if union.basins not in seen:
                    seen.add(union.basins)
                    yield union

    def _grown(self, start: int, rank: int) -> Iterator[_Union]:
        """Basins reachable from `start` across passes no lower than each share of the lower peak in `PASSES`."""
        union, peak, crossed = {start}, self.peaks[start], 1.0
        reachable = dict(self.saddles.get(start, {}))
        for lowest in PASSES:
            while reachable:
                ratios = {other: height / min(peak, self.peaks[other]) for other, height in reachable.items()}
                best = max(ratios, key=ratios.__getitem__)
                if ratios[best] < lowest:
                    break
                crossed = min(crossed, ratios[best])
                union.add(best)
                peak = max(peak, self.peaks[best])
                del reachable[best]
                for other, height in self.saddles[best].items():
                    if other not in union:
                        reachable[other] = max(height, reachable.get(other, 0.0))
            refused = max((h / min(peak, self.peaks[o]) for o, h in reachable.items()), default=0.0)
            yield _Union(frozenset(union), crossed, refused, rank)


@dataclass(frozen=True, eq=False)
class _Union:
    """Basins taken together: the lowest pass crossed, the highest refused (shares of the lower peak), and
    which of the starts it grew from."""

    basins: frozenset[int]
    crossed: float
    refused: float
    rank: int


@dataclass(frozen=True, eq=False)
class _Cut:
    """A body above a threshold. window : where it is in the box. inside : (x, y, z) bool in the window."""

    window: tuple[slice, ...]
    inside: np.ndarray
    threshold: float
    fraction: float


@dataclass(frozen=True, eq=False)
class _Body:
    """The voxels of a union, its peak and what surrounds it.

    window : where it is in the box. image : (x, y, z) SUV in the window, -inf outside the union.
    """

    union: _Union
    window: tuple[slice, ...]
    image: np.ndarray
    peak: float
    background: float

    @classmethod
    def of(cls, basins: _Basins, union: _Union) -> _Body:
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

    def cuts(self, basins: _Basins) -> Iterator[_Cut]:
        """At each fraction of the contrast, the largest part above it, holes filled; none where that is no lesion."""
        window, image = self.window, self.image
        for fraction in FRACTIONS:
            threshold = self.background + fraction * (self.peak - self.background)
            region = image > threshold
            if not region.any():
                return
            # What is above the next fraction lies in what is above this one.
            crop = _around([_extent(region)], region.shape, margin=1)
            window, image = _inner(window, crop), image[crop]
            inside, part = _largest(region[crop])
            if np.count_nonzero(inside) * float(np.prod(basins.spacing)) / 1000.0 <= MAX_ML:
                yield _Cut(_inner(window, part), inside, threshold, fraction)


def _measured(basins: _Basins, body: _Body, cut: _Cut, point: np.ndarray, uncertainty_mm: float) -> np.ndarray:
    """(len(FEATURES),) what can be said of a contour without knowing the truth."""
    inside, image = cut.inside, basins.image[cut.window]
    low = np.array([w.start for w in cut.window])
    voxels = np.nonzero(inside)
    ml = float(voxels[0].size * np.prod(basins.spacing)) / 1000.0
    radius = (3 * ml * 1000 / (4 * np.pi)) ** (1 / 3)
    centre = np.array([index.mean() for index in voxels])
    away = np.linalg.norm((centre + low - point) * basins.spacing)
    offset = float(away / np.hypot(uncertainty_mm * 1.7, 0.25 * radius))
    grown, shrunk = _grown_and_shrunk(inside)
    shell, rim = grown & ~inside, inside & ~shrunk
    height = max(body.peak - body.background, 1e-3)
    nearest = np.rint(point).astype(int) - low
    touches = [
        (w.start == 0 and inside.take(0, axis=a).any()) or (w.stop == n and inside.take(-1, axis=a).any())
        for a, (w, n) in enumerate(zip(cut.window, basins.labels.shape, strict=True))
    ]
    return np.array(
        [
            offset,
            offset**2,
            float((image[shell] > cut.threshold).mean()) if shell.any() else 1.0,
            height / body.peak,
            body.union.crossed,
            body.union.refused,
            float(basins.gradient[cut.window][rim].mean()) * 10.0 / height if rim.any() else 0.0,
            bool((nearest >= 0).all() and (nearest < inside.shape).all() and inside[tuple(nearest)]),
            any(touches),
            cut.fraction,
            cut.fraction**2,
            body.union.rank > 0,
        ],
        dtype=np.float64,
    )


def _image_and_gradient(box: np.ndarray, spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    image = ndimage.gaussian_filter(box, CONTOUR_FWHM_MM / 2.355 / spacing, mode="nearest", truncate=2.5)
    return image, np.sqrt(sum(np.gradient(image, s, axis=a) ** 2 for a, s in enumerate(spacing)))


def _uphill(image: np.ndarray, reach: list[int]) -> np.ndarray:
    """(x, y, z) flat index of the local maximum that each voxel leads to, step by step to the highest of the voxels
    within `reach` along each axis."""
    to = np.arange(image.size, dtype=np.int32).reshape(image.shape)
    for axis, farthest in enumerate(reach):
        highest, at = image.copy(), to.copy()
        for step in range(1, farthest + 1):
            for here, there in _shifted(axis, step):
                higher = image[there] > highest[here]
                np.copyto(highest[here], image[there], where=higher)
                np.copyto(at[here], to[there], where=higher)
        image, to = highest, at
    flat = to.ravel()
    while not np.array_equal(flat, further := flat.take(flat)):
        flat = further
    return flat.reshape(to.shape)


def _shifted(axis: int, step: int) -> tuple[tuple[tuple[slice, ...], tuple[slice, ...]], ...]:
    """(voxels, those `step` before them), (voxels, those `step` after them) along an axis."""
    ahead, behind = [slice(None)] * 3, [slice(None)] * 3
    ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
    return (tuple(ahead), tuple(behind)), (tuple(behind), tuple(ahead))


def _grown_and_shrunk(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Dilation and erosion by the six neighbours; outside the array counts as inside for the erosion.
    grown, shrunk = inside.copy(), inside.copy()
    for ahead, behind in _NEIGHBOURS:
        grown[ahead] |= inside[behind]
        grown[behind] |= inside[ahead]
        shrunk[ahead] &= inside[behind]
        shrunk[behind] &= inside[ahead]
    return grown, shrunk


def _dilated(inside: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        grown = inside.copy()
        for ahead, behind in _NEIGHBOURS:
            grown[ahead] |= inside[behind]
            grown[behind] |= inside[ahead]
        inside = grown
    return inside


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


def _starts(values: np.ndarray, away: np.ndarray) -> np.ndarray:
    # A hot maximum near the point: heat counts, distance discounts it.
    order = np.argsort(-values * np.exp(-((away / START_MM) ** 2)))[:START_BASINS]
    near = order[away[order] <= 2 * START_MM]
    return near if near.size else np.argsort(away)[:1]


def _around(boxes: list[tuple[slice, ...]], shape: tuple[int, ...], margin: int = 4) -> tuple[slice, ...]:
    return tuple(
        slice(max(0, min(b[a].start for b in boxes) - margin), min(n, max(b[a].stop for b in boxes) + margin))
        for a, n in enumerate(shape)
    )


def _saddles(labels: np.ndarray, smooth: np.ndarray) -> list[tuple[int, int, float]]:
    """(basin, basin, SUV of the highest pass between them) of all neighbours, highest pass first."""
    n = int(labels.max()) + 1
    passes = np.full(n * n, -np.inf, dtype=np.float32)
    for ahead, behind in _NEIGHBOURS:
        one, two = labels[behind], labels[ahead]
        border = np.flatnonzero((one != two) & (one > 0) & (two > 0))
        one, two = one.ravel()[border], two.ravel()[border]
        height = np.minimum(smooth[behind].ravel()[border], smooth[ahead].ravel()[border])
        np.maximum.at(passes, np.minimum(one, two) * n + np.maximum(one, two), height)
    code = np.flatnonzero(passes > -np.inf)
    fall = code[np.argsort(-passes[code], kind="stable")]
    low, high = np.divmod(fall, n)
    return list(zip(low.tolist(), high.tolist(), passes[fall].tolist(), strict=True))


def _merge_noise(peaks: list[float], passes: list[tuple[int, int, float]]) -> list[int]:
    """The basin that each one is part of once maxima that only noise separates are one; passes highest first."""
    parent = list(range(len(peaks)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b, height in passes:
        a, b = root(a), root(b)
        if a != b and height >= SAME_PEAK * min(peaks[a], peaks[b]):
            high, low = (a, b) if peaks[a] >= peaks[b] else (b, a)
            parent[low] = high
    return [root(i) for i in range(len(peaks))]
