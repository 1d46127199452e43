"""A box of a scan cut into watershed basins, one a local maximum, and the unions that may be a lesion (ours)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

# Basins are found on a smoother image than the one whose level is the contour.
BASIN_FWHM_MM = 6.0
CONTOUR_FWHM_MM = 2.5
# Basins start this near the point; a person's click and a CAM both land within it.
START_MM = 20.0
START_BASINS = 4
# Two maxima with a saddle at this share of the lower are one maximum with noise.
SAME_PEAK = 0.92
FLOOR = 0.12
PASSES = (0.92, 0.87, 0.82, 0.77, 0.70, 0.62, 0.52, 0.40)
# Along each axis, (all but the first, all but the last): a voxel and the one before it.
NEIGHBOURS = tuple(
    tuple(tuple(part if a == axis else slice(None) for a in range(3)) for part in (slice(1, None), slice(None, -1)))
    for axis in range(3)
)


@dataclass(frozen=True, eq=False)
class Basins:
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
    def of(cls, box: np.ndarray, spacing: np.ndarray, point: np.ndarray) -> Basins:
        """Cut a box (x, y, z) in SUV, voxels of `spacing` mm, around a point, a fractional voxel of the box."""
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

    def unions(self) -> Iterator[Union]:
        """All different unions of basins grown from the starts."""
        seen = set()
        for rank, start in enumerate(self.starts):
            for union in self._grown(start, rank):
                if union.basins not in seen:
                    seen.add(union.basins)
                    yield union

    def _grown(self, start: int, rank: int) -> Iterator[Union]:
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
            yield Union(frozenset(union), crossed, refused, rank)


@dataclass(frozen=True, eq=False)
class Union:
    """Basins taken together: the lowest pass crossed, the highest refused (shares of the lower peak), and
    which of the starts it grew from."""

    basins: frozenset[int]
    crossed: float
    refused: float
    rank: int


def _image_and_gradient(box: np.ndarray, spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    image = ndimage.gaussian_filter(box, CONTOUR_FWHM_MM / 2.355 / spacing, mode="nearest", truncate=2.5)
    return image, np.sqrt(sum(np.gradient(image, s, axis=a) ** 2 for a, s in enumerate(spacing)))


def _uphill(image: np.ndarray, reach: list[int]) -> np.ndarray:
    """(x, y, z) flat index of the local maximum that each voxel leads to, step by step to the highest of the voxels
    within `reach` along each axis; of equal ones to the last."""
    highest = _ranked(image)
    for axis, farthest in enumerate(reach):
        along = highest.copy()
        for step in range(1, farthest + 1):
            for here, there in _shifted(axis, step):
                np.maximum(along[here], highest[there], out=along[here])
        highest = along
    flat = highest.astype(np.int32).ravel()
    while not np.array_equal(flat, further := flat.take(flat)):
        flat = further
    return flat.reshape(image.shape)


def _ranked(image: np.ndarray) -> np.ndarray:
    """int64 of the order of float32 values, the flat index of each in its lower half."""
    bits = (image + np.float32(0)).view(np.int32)  # -0 is 0
    ordered = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int64)
    return (ordered << 32) + np.arange(image.size).reshape(image.shape)


def _shifted(axis: int, step: int) -> tuple[tuple[tuple[slice, ...], tuple[slice, ...]], ...]:
    """(voxels, those `step` before them), (voxels, those `step` after them) along an axis."""
    ahead, behind = [slice(None)] * 3, [slice(None)] * 3
    ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
    return (tuple(ahead), tuple(behind)), (tuple(behind), tuple(ahead))


def _starts(values: np.ndarray, away: np.ndarray) -> np.ndarray:
    # A hot maximum near the point: heat counts, distance discounts it.
    order = np.argsort(-values * np.exp(-((away / START_MM) ** 2)))[:START_BASINS]
    near = order[away[order] <= 2 * START_MM]
    return near if near.size else np.argsort(away)[:1]


def _saddles(labels: np.ndarray, smooth: np.ndarray) -> list[tuple[int, int, float]]:
    """(basin, basin, SUV of the highest pass between them) of all neighbours, highest pass first."""
    n = int(labels.max()) + 1
    passes = np.full(n * n, -np.inf, dtype=np.float32)
    for ahead, behind in NEIGHBOURS:
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
