"""A box of a scan cut into watershed basins, one a local maximum, and the unions that may be a lesion (ours)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from wslpet.core.arrays import Array
from wslpet.core.jit import compiled
from wslpet.method.delineation import watershed

# Basins are found on a smoother image than the one whose level is the contour.
BASIN_FWHM_MM = 4.0
CONTOUR_FWHM_MM = 2.5
# Basins start this near the point; a person's click and a CAM both land within it.
START_MM = 20.0
START_BASINS = 4
FLOOR = 0.05
PASSES = (0.94, 0.90, 0.85, 0.80, 0.72, 0.62, 0.52, 0.40, 0.30, 0.20)


@dataclass(frozen=True, eq=False)
class Basins:
    """The box cut at its valleys.

    image : (x, y, z) SUV, lightly smoothed. gradient : its slope in SUV / mm.
    labels : (x, y, z) basin of each voxel, 0 below the floor. boxes : (basin, 2, 3), the first voxel of each, and one
    beyond the last.
    peaks : (basin,) SUV of each maximum; tops : (basin, 3) its voxel. saddles : (basin, basin) SUV of the highest pass
    between them, -inf where they do not touch.
    starts : basins near the point, best first.
    """

    image: Array
    gradient: Array
    labels: Array
    boxes: Array
    peaks: Array
    tops: Array
    saddles: Array
    starts: list[int]
    spacing: Array

    @classmethod
    def of(cls, box: Array, spacing: Array, point: Array, alone: bool = False) -> Basins:
        """Cut a box (x, y, z) in SUV, voxels of `spacing` mm, around a point, a fractional voxel of the box.

        alone : start at the point's own basin only.
        """
        labels, boxes, peaks, tops, saddles, starts = cls._parts(box, spacing, point, alone)
        image, gradient = _image_and_gradient(box, spacing)
        return cls(image, gradient, labels, boxes, peaks, tops, saddles, starts, spacing)

    @staticmethod
    def _parts(box: Array, spacing: Array, point: Array, alone: bool) -> tuple[Any, ...]:
        """`labels`, `boxes`, `peaks`, `tops`, `saddles` and `starts`."""
        smooth = ndimage.gaussian_filter(box, BASIN_FWHM_MM / 2.355 / spacing, mode="nearest", truncate=2.5)
        top = watershed.uphill(smooth, [1 if s > 2.5 else 2 for s in spacing])
        tops = np.flatnonzero(top == np.arange(top.size))
        values = smooth.ravel()[tops]
        maxima = np.stack(np.unravel_index(tops, box.shape), axis=1)
        nearest = np.clip(np.rint(point).astype(int), 0, np.array(box.shape) - 1)
        own = np.searchsorted(tops, top.reshape(box.shape)[tuple(nearest)])
        near = np.array([own])
        if not alone:
            near = _starts(values, np.linalg.norm((maxima - point) * spacing, axis=1), int(own))
        floor = min(FLOOR * float(values[near].max()), float(values[near].max()) - 1e-6)
        keep = values > floor
        near = near[keep[near]]
        numbers = np.zeros(top.size, dtype=np.int32)
        numbers[tops[keep]] = np.arange(1, keep.sum() + 1)
        labels = np.empty(box.shape, dtype=np.int32)
        watershed.number(top, smooth.ravel(), numbers, np.float32(floor), labels.ravel())
        peaks = np.concatenate([[0.0], values[keep]]).astype(np.float32)
        number = np.cumsum(keep)[near]
        passes = watershed.passes(labels, smooth, len(peaks))
        roots = watershed.merge_noise(peaks, passes, *watershed.falling(passes))
        saddles = watershed.saddles(passes, roots)
        boxes = np.empty((len(roots), 2, 3), dtype=np.int32)
        watershed.merge(labels, roots, boxes)
        starts = list(dict.fromkeys(roots[number].tolist()))
        return labels, boxes, peaks, np.concatenate([[[0, 0, 0]], maxima[keep]]), saddles, starts

    def unions(self) -> Iterator[Union]:
        """All different unions of basins grown from the starts."""
        seen = set()
        for rank, start in enumerate(self.starts):
            order, sizes, shares = watershed.grown(self.saddles, self.peaks, start, np.array(PASSES, dtype=np.float32))
            before = 0
            for size, (crossed, left, pass_suv) in zip(sizes.tolist(), shares.tolist(), strict=True):
                basins = frozenset(order[:size].tolist())
                if size > before and basins not in seen:
                    seen.add(basins)
                    yield Union(basins, start, pass_suv, crossed, left, rank)
                before = size


@dataclass(frozen=True, eq=False)
class Union:
    """Union of basins, with the saddles at which it was merged.

    Parameters
    ----------
    start : the basin that it was grown from; rank : its place among `Basins.starts`.
    pass_suv : highest saddle to what the union before it, grown from the same start, does not hold; infinite of the
        first.
    lowest_saddle_crossed, highest_saddle_left : as shares of the lower peak at each.
    """

    basins: frozenset[int]
    start: int
    pass_suv: float
    lowest_saddle_crossed: float
    highest_saddle_left: float
    rank: int


def _image_and_gradient(box: Array, spacing: Array) -> tuple[Array, Array]:
    image = ndimage.gaussian_filter(box, CONTOUR_FWHM_MM / 2.355 / spacing, mode="nearest", truncate=2.5)
    return image, _gradient(image, spacing)


@compiled
def _gradient(image: Array, spacing: Array) -> Array:
    """Length of the gradient (x, y, z) by central differences, one-sided at the ends, as `numpy.gradient` has them."""
    length = np.empty(image.shape, dtype=np.float32)
    nx, ny, nz = image.shape
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                left, right = max(x - 1, 0), min(x + 1, nx - 1)
                front, back = max(y - 1, 0), min(y + 1, ny - 1)
                below, above = max(z - 1, 0), min(z + 1, nz - 1)
                a = _slope(image[right, y, z] - image[left, y, z], (right - left) * spacing[0])
                b = _slope(image[x, back, z] - image[x, front, z], (back - front) * spacing[1])
                c = _slope(image[x, y, above] - image[x, y, below], (above - below) * spacing[2])
                length[x, y, z] = np.sqrt(a * a + b * b + c * c)
    return length


@compiled
def _slope(difference: float, distance: float) -> np.float32:
    return np.float32(difference / distance) if distance > 0 else np.float32(0)


def _starts(values: Array, away: Array, own: int) -> Array:
    # The maximum above the point, then hot ones near it: heat counts, distance discounts it.
    order = np.argsort(-values * np.exp(-((away / START_MM) ** 2)))[:START_BASINS]
    near = order[away[order] <= 2 * START_MM]
    return np.array([own, *(n for n in near if n != own)])
