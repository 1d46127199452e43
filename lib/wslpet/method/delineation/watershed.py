"""A box of a scan cut into watershed basins, one a local maximum, and the unions that may be a lesion (ours)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from wslpet.core.jit import compiled

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


@dataclass(frozen=True, eq=False)
class Basins:
    """The box cut at its valleys.

    image : (x, y, z) SUV, lightly smoothed. gradient : its slope in SUV / mm.
    labels : (x, y, z) basin of each voxel, 0 below the floor. boxes : (basin, 2, 3), the first voxel of each, and one
    beyond the last.
    peaks : SUV of each maximum, by basin. saddles : {basin: {neighbour: SUV of the highest pass}}.
    starts : basins near the point, best first.
    """

    image: np.ndarray
    gradient: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
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
        tops = np.flatnonzero(top == np.arange(top.size))
        values = smooth.ravel()[tops]
        maxima = np.stack(np.unravel_index(tops, box.shape), axis=1)
        near = _starts(values, np.linalg.norm((maxima - point) * spacing, axis=1))
        floor = min(FLOOR * float(values[near].min()), float(values[near].min()) - 1e-6)
        keep = values > floor
        numbers = np.zeros(top.size, dtype=np.int32)
        numbers[tops[keep]] = np.arange(1, keep.sum() + 1)
        labels = np.empty(box.shape, dtype=np.int32)
        _number(top, smooth.ravel(), numbers, np.float32(floor), labels.ravel())
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
        boxes = np.empty((len(roots), 2, 3), dtype=np.int32)
        _merge(labels, np.array(roots, dtype=np.int32), boxes)
        starts = list(dict.fromkeys(roots[n] for n in number))
        return labels, boxes, peaks.tolist(), saddles, starts

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
    """(voxel,) flat index of the local maximum that each voxel leads to, step by step to the highest of the voxels
    within `reach` along each axis; of equal ones to the last."""
    nx, ny, nz = image.shape
    ranks = np.empty((nx, ny * nz), dtype=np.int64)
    highest, top = np.empty_like(ranks), np.empty(image.size, dtype=np.int32)
    _climb(image.view(np.int32).reshape(nx, ny * nz), nz, tuple(reach), ranks, highest, top)
    return top


@compiled
def _climb(
    bits: np.ndarray, nz: int, reach: tuple[int, ...], ranks: np.ndarray, highest: np.ndarray, top: np.ndarray
) -> None:
    nx, plane = bits.shape
    for x in range(nx):
        _rank(bits[x], x * plane, ranks[x])
        _raise(highest[x], ranks[x], True)
    for x in range(nx):
        for other in range(max(x - reach[0], 0), min(x + reach[0] + 1, nx)):
            _raise(highest[x], ranks[other], False)
    for x in range(nx):
        _raise(ranks[x], highest[x], True)
        for step in range(nz, min(reach[1] * nz, plane - nz) + 1, nz):
            _raise(highest[x, step:], ranks[x, : plane - step], False)
            _raise(highest[x, : plane - step], ranks[x, step:], False)
    for x in range(nx):
        _raise(ranks[x], highest[x], True)
        for y in range(0, plane, nz):
            for step in range(1, min(reach[2], nz - 1) + 1):
                _raise(highest[x, y + step : y + nz], ranks[x, y : y + nz - step], False)
                _raise(highest[x, y : y + nz - step], ranks[x, y + step : y + nz], False)
        for i in range(plane):
            top[x * plane + i] = highest[x, i] & 0xFFFFFFFF
    for i in range(top.size):
        end = top[i]
        while top[end] != end:
            end = top[end]
        here = i
        while top[here] != end:
            there = top[here]
            top[here] = end
            here = there


@compiled
def _number(top: np.ndarray, smooth: np.ndarray, numbers: np.ndarray, floor: float, labels: np.ndarray) -> None:
    """Labels of flat voxels: the number of the maximum that each leads to; 0 where the image is not above the floor."""
    for i in range(top.size):
        labels[i] = numbers[top[i]] if smooth[i] > floor else 0


@compiled
def _merge(labels: np.ndarray, roots: np.ndarray, boxes: np.ndarray) -> None:
    """Replace each label by its root, and tell the box of each."""
    nx, ny, nz = labels.shape
    for basin in range(len(boxes)):
        for axis in range(3):
            boxes[basin, 0, axis], boxes[basin, 1, axis] = labels.shape[axis], 0
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                basin = roots[labels[x, y, z]]
                labels[x, y, z] = basin
                box = boxes[basin]
                box[0, 0], box[1, 0] = min(box[0, 0], x), x + 1
                box[0, 1], box[1, 1] = min(box[0, 1], y), max(box[1, 1], y + 1)
                box[0, 2], box[1, 2] = min(box[0, 2], z), max(box[1, 2], z + 1)


@compiled
def _rank(bits: np.ndarray, start: int, ranks: np.ndarray) -> None:
    """int64 in the order of float32 values; in its lower half the flat index, which tells equal ones apart."""
    for z in range(bits.size):
        key = np.int64(bits[z])
        key = key ^ 0x7FFFFFFF if key < 0 else key
        ranks[z] = ((0 if key == -1 else key) << 32) | (start + z)  # -0 is 0


@compiled
def _raise(highest: np.ndarray, ranks: np.ndarray, anew: bool) -> None:
    for z in range(highest.size):
        highest[z] = ranks[z] if anew else max(highest[z], ranks[z])


def _starts(values: np.ndarray, away: np.ndarray) -> np.ndarray:
    # A hot maximum near the point: heat counts, distance discounts it.
    order = np.argsort(-values * np.exp(-((away / START_MM) ** 2)))[:START_BASINS]
    near = order[away[order] <= 2 * START_MM]
    return near if near.size else np.argsort(away)[:1]


def _saddles(labels: np.ndarray, smooth: np.ndarray) -> list[tuple[int, int, float]]:
    """(basin, basin, SUV of the highest pass between them) of all neighbours, highest pass first."""
    n = int(labels.max()) + 1
    passes = _passes(labels, smooth, n).ravel()
    code = np.flatnonzero(passes > -np.inf)
    fall = code[np.argsort(-passes[code], kind="stable")]
    low, high = np.divmod(fall, n)
    return list(zip(low.tolist(), high.tolist(), passes[fall].tolist(), strict=True))


@compiled
def _passes(labels: np.ndarray, smooth: np.ndarray, n: int) -> np.ndarray:
    """(n, n) SUV of the highest pass from each basin to each with a higher number; -inf where there is none."""
    nx, ny, nz = labels.shape
    passes = np.full((n, n), -np.inf, dtype=np.float32)
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                own = labels[x, y, z]
                if own == 0:
                    continue
                if x + 1 < nx:
                    _pass(passes, own, labels[x + 1, y, z], smooth[x, y, z], smooth[x + 1, y, z])
                if y + 1 < ny:
                    _pass(passes, own, labels[x, y + 1, z], smooth[x, y, z], smooth[x, y + 1, z])
                if z + 1 < nz:
                    _pass(passes, own, labels[x, y, z + 1], smooth[x, y, z], smooth[x, y, z + 1])
    return passes


@compiled
def _pass(passes: np.ndarray, one: int, two: int, here: float, there: float) -> None:
    if two != one and two != 0:
        low, high = min(one, two), max(one, two)
        passes[low, high] = max(passes[low, high], min(here, there))


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
