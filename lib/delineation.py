"""A point near the centre of a lesion → the lesion, without leaking into its neighbours (ours).

The paper delineates nothing beyond its CAM. A fixed share of the maximum (41 %) leaks wherever an organ
touches the tumour. Here the box around the point is cut into watershed basins, one a local maximum; the
lesion is a union of basins, grown from one near the point across the highest saddles, and cut at a share of
its contrast over its own background. Every union at every share is a candidate; a linear score of what can
be measured of a contour (is the point at its centre, does it have an edge all around, was a deep valley
crossed to get there) chooses among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

from lib.volume import Volume

BOX_MM = 80.0
# Basins are found on a smoother image than the one whose level is the contour.
BASIN_FWHM_MM = 6.0
CONTOUR_FWHM_MM = 2.5
# Basins start this near the point; a person's click and a CAM both land within it.
START_MM = 20.0
START_BASINS = 4
# Two maxima with a saddle at this share of the lower are one maximum with noise.
SAME_PEAK = 0.92
FLOOR = 0.2
FRACTIONS = (0.22, 0.28, 0.34, 0.40, 0.48)
PASSES = (0.92, 0.87, 0.82, 0.77, 0.70, 0.62, 0.52, 0.40)
MAX_ML = 2500.0

FEATURES = (
    "offset",
    "offset_squared",
    "log_ml",
    "log_ml_squared",
    "cut",
    "contrast",
    "crossed",
    "refused",
    "roughness",
    "edge",
    "holds_point",
    "touches_box",
    "fraction",
    "fraction_squared",
    "rank",
)

WEIGHTS = np.array([-1.0, 0, 0, 0, -2.0, 0, 0, 0, 0, 0, 0, -1.0, 0, 0, 0])


@dataclass(frozen=True, eq=False)
class Contour:
    """One candidate lesion.

    Parameters
    ----------
    inside : (x, y, z) bool in the box.
    start : first voxel of the box in the volume.
    features : (len(FEATURES),) what the score is computed from.
    """

    inside: np.ndarray
    start: tuple[int, int, int]
    features: np.ndarray

    @property
    def score(self) -> float:
        """The higher, the more likely the lesion."""
        return float(self.features @ WEIGHTS)

    def in_volume(self, shape: tuple[int, int, int]) -> np.ndarray:
        """(x, y, z) bool of the whole volume."""
        mask = np.zeros(shape, dtype=bool)
        mask[tuple(slice(s, s + n) for s, n in zip(self.start, self.inside.shape, strict=True))] = self.inside
        return mask


def contours(ras: Volume, index: np.ndarray, uncertainty_mm: float) -> list[Contour]:
    """All candidate lesions around a point.

    Parameters
    ----------
    ras : (x, y, z) in SUV.
    index : fractional voxel index of the point.
    uncertainty_mm : SD per axis of the point around the lesion's centre.
    """
    box, start = _box(ras, index)
    point = np.asarray(index) - start
    basins = _Basins.of(box, np.array(ras.spacing), point)
    return [Contour(inside, start, features) for inside, features in basins.candidates(point, uncertainty_mm)]


def _box(ras: Volume, index: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int]]:
    reach = np.ceil(BOX_MM / np.array(ras.spacing)).astype(int)
    centre = np.clip(np.rint(index).astype(int), 0, np.array(ras.shape) - 1)
    low = np.maximum(centre - reach, 0)
    high = np.minimum(centre + reach + 1, ras.shape)
    box = ras.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return np.ascontiguousarray(box, dtype=np.float32), tuple(int(v) for v in low)


@dataclass(frozen=True, eq=False)
class _Basins:
    """The box cut at its valleys.

    image : (x, y, z) SUV, lightly smoothed. gradient : its slope in SUV / mm.
    labels : (x, y, z) basin of each voxel, 0 below the floor. boxes : bounding box of each basin.
    peaks : (basin + 1,) SUV of each maximum. saddles : {basin: {neighbour: SUV of the highest pass}}.
    starts : basins near the point, best first.
    """

    image: np.ndarray
    gradient: np.ndarray
    labels: np.ndarray
    boxes: list[tuple[slice, ...] | None]
    peaks: np.ndarray
    saddles: dict[int, dict[int, float]]
    starts: list[int]
    spacing: np.ndarray

    @classmethod
    def of(cls, box: np.ndarray, spacing: np.ndarray, point: np.ndarray) -> _Basins:
        smooth = ndimage.gaussian_filter(box, BASIN_FWHM_MM / 2.355 / spacing, mode="nearest", truncate=2.5)
        size = [3 if s > 2.5 else 5 for s in spacing]
        maxima = np.argwhere(smooth == ndimage.maximum_filter(smooth, size, mode="nearest"))
        values = smooth[tuple(maxima.T)]
        near = _starts(values, np.linalg.norm((maxima - point) * spacing, axis=1))
        floor = FLOOR * float(values[near].min())
        keep = values > floor
        markers = np.zeros(box.shape, dtype=np.int32)
        markers[tuple(maxima[keep].T)] = np.arange(1, keep.sum() + 1)
        labels = watershed(-smooth, markers, mask=smooth > floor)
        peaks = np.concatenate([[0.0], values[keep]])
        number = np.cumsum(keep)[near]
        passes = _saddles(labels, smooth)
        roots = _merge_noise(peaks, passes)
        saddles: dict[int, dict[int, float]] = {}
        for a, b, height in passes:
            a, b = int(roots[a]), int(roots[b])
            if a != b:
                for one, two in ((a, b), (b, a)):
                    saddles.setdefault(one, {})[two] = max(height, saddles.get(one, {}).get(two, 0.0))
        labels = roots[labels]
        image = ndimage.gaussian_filter(box, CONTOUR_FWHM_MM / 2.355 / spacing, mode="nearest", truncate=2.5)
        gradient = np.sqrt(sum(np.gradient(image, s, axis=a) ** 2 for a, s in enumerate(spacing)))
        starts = list(dict.fromkeys(int(roots[n]) for n in number))
        return cls(image, gradient, labels, ndimage.find_objects(labels), peaks, saddles, starts, spacing)

    def candidates(self, point: np.ndarray, uncertainty_mm: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        seen = set()
        for rank, start in enumerate(self.starts):
            for union, crossed, refused in self._unions(start):
                if union not in seen:
                    seen.add(union)
                    body = _Body.of(self, union)
                    for fraction in FRACTIONS:
                        contour = body.contour(self, fraction, point)
                        if contour is not None:
                            yield (
                                contour[0],
                                _features(self, body, *contour, point, uncertainty_mm, crossed, refused, rank),
                            )

    def _unions(self, start: int) -> Iterator[tuple[frozenset[int], float, float]]:
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
            yield frozenset(union), crossed, refused


@dataclass(frozen=True, eq=False)
class _Body:
    """A union of basins, its peak and what surrounds it.

    window : where it is in the box. member : (x, y, z) bool in the window.
    """

    window: tuple[slice, ...]
    member: np.ndarray
    peak: float
    background: float
    size: int

    @classmethod
    def of(cls, basins: _Basins, union: frozenset[int]) -> _Body:
        window = _around([basins.boxes[b - 1] for b in union], basins.labels.shape)
        lookup = np.zeros(len(basins.peaks), dtype=bool)
        lookup[list(union)] = True
        member = lookup[basins.labels[window]]
        image = basins.image[window]
        peak = float(image[member].max())
        hot = member & (image > min(FRACTIONS) * peak)
        inner = ndimage.find_objects(hot.astype(np.uint8))[0]
        crop = _around([inner], hot.shape)
        window = tuple(slice(w.start + c.start, w.start + c.stop) for w, c in zip(window, crop, strict=True))
        member, image = member[crop], image[crop]
        core = member & (image > 0.42 * peak)
        outside = image[ndimage.binary_dilation(core, iterations=3) & ~core]
        background = float(np.percentile(outside, 25)) if outside.size else 0.0
        return cls(window, member, peak, background, len(union))

    def contour(
        self, basins: _Basins, fraction: float, point: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, float, float] | None:
        """(region in the box, region in the window, threshold, fraction), or None when it is no lesion."""
        threshold = self.background + fraction * (self.peak - self.background)
        region = self.member & (basins.image[self.window] > threshold)
        regions, n = ndimage.label(region)
        if n > 1:
            region = regions == 1 + np.argmax(np.bincount(regions.ravel())[1:])
        region = ndimage.binary_fill_holes(region)
        voxels = int(region.sum())
        if voxels == 0 or voxels * float(np.prod(basins.spacing)) / 1000.0 > MAX_ML:
            return None
        full = np.zeros(basins.labels.shape, dtype=bool)
        full[self.window] = region
        return full, region, threshold, fraction


def _features(
    basins: _Basins,
    body: _Body,
    full: np.ndarray,
    region: np.ndarray,
    threshold: float,
    fraction: float,
    point: np.ndarray,
    uncertainty_mm: float,
    crossed: float,
    refused: float,
    rank: int,
) -> np.ndarray:
    low = np.array([s.start for s in body.window])
    image = basins.image[body.window]
    ml = float(region.sum() * np.prod(basins.spacing)) / 1000.0
    index = np.argwhere(region)
    radius = (3 * ml * 1000 / (4 * np.pi)) ** (1 / 3)
    away = np.linalg.norm((index.mean(axis=0) + low - point) * basins.spacing)
    offset = float(away / np.hypot(uncertainty_mm * 1.7, 0.25 * radius))
    shell = ndimage.binary_dilation(region) & ~region
    rim = region & ~ndimage.binary_erosion(region)
    height = max(body.peak - body.background, 1e-3)
    nearest = np.rint(point).astype(int)
    at_edge = any(w.start == 0 or w.stop == n for w, n in zip(body.window, full.shape, strict=True))
    log_ml = np.log(ml + 0.1)
    return np.array(
        [
            offset,
            offset**2,
            log_ml,
            log_ml**2,
            float((image[shell] > threshold).mean()) if shell.any() else 1.0,
            height / body.peak,
            crossed,
            refused,
            rim.sum() / region.sum() ** (2 / 3),
            float(basins.gradient[body.window][rim].mean()) * 10.0 / height,
            bool((nearest >= 0).all() and (nearest < full.shape).all() and full[tuple(nearest)]),
            at_edge and any(full.take(end, axis=a).any() for a in range(3) for end in (0, -1)),
            fraction,
            fraction**2,
            rank > 0,
        ],
        dtype=np.float64,
    )


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
    """(basin, basin, SUV of the highest pass between them) of all neighbours, lower basin number first."""
    codes, heights, n = [], [], int(labels.max()) + 1
    for axis in range(3):
        ahead = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        behind = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        one, two = labels[behind], labels[ahead]
        border = (one != two) & (one > 0) & (two > 0)
        one, two = one[border].astype(np.int64), two[border]
        codes.append(np.minimum(one, two) * n + np.maximum(one, two))
        heights.append(np.minimum(smooth[behind][border], smooth[ahead][border]))
    code, height = np.concatenate(codes), np.concatenate(heights)
    order = np.lexsort((-height, code))
    first, at = np.unique(code[order], return_index=True)
    return [(int(c // n), int(c % n), float(h)) for c, h in zip(first, height[order][at], strict=True)]


def _merge_noise(peaks: np.ndarray, passes: list[tuple[int, int, float]]) -> np.ndarray:
    """(basin + 1,) the basin that each one is part of once maxima that only noise separates are one."""
    parent = np.arange(len(peaks), dtype=np.int32)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b, height in sorted(passes, key=lambda p: -p[2]):
        a, b = root(a), root(b)
        if a != b and height >= SAME_PEAK * min(peaks[a], peaks[b]):
            high, low = (a, b) if peaks[a] >= peaks[b] else (b, a)
            parent[low] = high
    return np.array([root(i) for i in range(len(peaks))], dtype=np.int32)
