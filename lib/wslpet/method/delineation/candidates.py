"""Unions of basins as images, and what can be measured of them above each share of their contrast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wslpet.core.jit import compiled
from wslpet.method.delineation.components import dilated, largest_part, surface
from wslpet.method.delineation.watershed import Basins, Union

FRACTIONS = (0.10, 0.16, 0.22, 0.28, 0.34, 0.42)
# The background is what lies within so many steps of what is above this share of the peak: its lower quartile.
CORE = 0.42
BACKGROUND_STEPS = 3
BACKGROUND_QUANTILE = 0.25
# By column, what `Body.measured` says of a cut.
MEASURED = ("ml", "away_mm", "slope", "cut", "holds_point", "touches_box")


@dataclass(frozen=True, eq=False)
class Body:
    """The voxels of a union, its peak and what surrounds it.

    Parameters
    ----------
    image : (x, y, z) SUV, -inf outside the union. corner : where it begins in the box.
    """

    union: Union
    image: np.ndarray
    corner: tuple[int, int, int]
    peak: float
    background: float

    @classmethod
    def of(cls, basins: Basins, union: Union) -> Body:
        members = np.zeros(len(basins.peaks), dtype=np.bool_)
        members[list(union.basins)] = True
        low = np.maximum(basins.boxes[members, 0].min(axis=0) - BACKGROUND_STEPS, 0)
        high = basins.boxes[members, 1].max(axis=0) + BACKGROUND_STEPS
        window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        around = basins.image[window]
        image = _taken(around, basins.labels[window], members)
        peak = float(image.max())
        x, y, z = low.tolist()
        return cls(union, image, (x, y, z), peak, _background(around, image, np.float32(CORE * peak)))

    def threshold(self, fraction: float) -> float:
        """SUV at a fraction of the contrast."""
        return self.background + fraction * (self.peak - self.background)

    def measured(self, basins: Basins, point: np.ndarray) -> np.ndarray:
        """(cut, len(MEASURED)) of what is above each of `FRACTIONS`, as `cut` has it; fewer where nothing is.

        ml : volume. away_mm : from its centroid to the point. slope : mean gradient of its outermost voxels, SUV / mm.
        cut : share of the voxels that touch it which are above the threshold, too. holds_point, touches_box : 0 or 1.

        Parameters
        ----------
        point : fractional voxel of the box.
        """
        thresholds = np.array([self.threshold(fraction) for fraction in FRACTIONS], dtype=np.float32)
        counts = np.zeros((len(FRACTIONS), 10))
        nearest = np.rint(point).astype(np.int64)
        done = _counted(self.image, self.corner, thresholds, basins.image, basins.gradient, nearest, counts)
        n, x, y, z, rim, slope, around, above, holds, touches = counts[:done].T
        away = (np.stack([x, y, z]) / n).T - point
        return np.stack(
            [
                n * np.prod(basins.spacing) / 1000.0,
                np.linalg.norm(away * basins.spacing, axis=1),
                slope / np.maximum(rim, 1),
                np.where(around > 0, above / np.maximum(around, 1), 1.0),
                holds,
                touches,
            ],
            axis=1,
        )

    def cut(self, fraction: float) -> tuple[np.ndarray, tuple[int, int, int]]:
        """The largest connected part above a fraction, holes filled: (x, y, z) bool in a window, and where in the box
        that begins."""
        inside, at = largest_part(self.image > np.float32(self.threshold(fraction)))
        return inside, (self.corner[0] + at[0], self.corner[1] + at[1], self.corner[2] + at[2])


@compiled
def _taken(image: np.ndarray, labels: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The image where the label is a member, -inf elsewhere."""
    nx, ny, nz = image.shape
    taken = np.empty((nx, ny, nz), dtype=np.float32)
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                taken[x, y, z] = image[x, y, z] if members[labels[x, y, z]] else np.float32(-np.inf)
    return taken


def _background(around: np.ndarray, image: np.ndarray, above: np.float32) -> float:
    """Of a body whose image has a margin of `BACKGROUND_STEPS`, but for the box's ends; around : what is there."""
    ends = _extent(image, above, (0, image.shape[0], 0, image.shape[1], 0, image.shape[2]))
    crop = tuple(
        slice(max(first - BACKGROUND_STEPS, 0), stop + BACKGROUND_STEPS)
        for first, stop in zip(ends[::2], ends[1::2], strict=True)
    )
    core = image[crop] > above
    values = around[crop][dilated(core, BACKGROUND_STEPS) & ~core]
    return _quantile(values, BACKGROUND_QUANTILE) if values.size else 0.0


def _quantile(values: np.ndarray, share: float) -> float:
    """numpy's, which takes longer to look at its arguments than for the rest."""
    place = share * (values.size - 1)
    k = int(place)
    ordered = np.partition(values, (k, min(k + 1, values.size - 1)))
    low, high = ordered[k], ordered[min(k + 1, values.size - 1)]
    between, step = place - k, float(high - low)
    return float(low) + step * between if between < 0.5 else float(high) - step * (1 - between)


@compiled
def _counted(
    image: np.ndarray,
    corner: tuple[int, int, int],
    thresholds: np.ndarray,
    box: np.ndarray,
    gradient: np.ndarray,
    nearest: np.ndarray,
    counts: np.ndarray,
) -> int:
    """Of the cut at each threshold: voxels, the sums of their indices in the box, how many of them touch others and the
    sum of their gradients, how many voxels touch it and how many of these are above the threshold, whether it holds the
    voxel `nearest`, whether it touches the box. Returns how many thresholds something is above of."""
    window = (0, image.shape[0], 0, image.shape[1], 0, image.shape[2])
    for i in range(len(thresholds)):
        x0, x1, y0, y1, z0, z1 = _extent(image, thresholds[i], window)
        if x0 > x1:
            return i
        # What is above the next threshold lies in what is above this one.
        window = (x0, x1, y0, y1, z0, z1)
        x0, y0, z0 = max(x0 - 1, 0), max(y0 - 1, 0), max(z0 - 1, 0)
        x1, y1, z1 = min(x1 + 1, image.shape[0]), min(y1 + 1, image.shape[1]), min(z1 + 1, image.shape[2])
        region = np.empty((x1 - x0, y1 - y0, z1 - z0), dtype=np.bool_)
        for x in range(x0, x1):
            for y in range(y0, y1):
                for z in range(z0, z1):
                    region[x - x0, y - y0, z - z0] = image[x, y, z] > thresholds[i]
        inside, (a, b, c) = largest_part(region)
        _count(
            inside, corner[0] + x0 + a, corner[1] + y0 + b, corner[2] + z0 + c, thresholds[i], box, gradient, counts[i]
        )
        x, y, z = nearest[0] - corner[0] - x0 - a, nearest[1] - corner[1] - y0 - b, nearest[2] - corner[2] - z0 - c
        if 0 <= x < inside.shape[0] and 0 <= y < inside.shape[1] and 0 <= z < inside.shape[2]:
            counts[i, 8] = inside[x, y, z]
    return len(thresholds)


@compiled
def _count(
    inside: np.ndarray, a: int, b: int, c: int, threshold: float, box: np.ndarray, gradient: np.ndarray, out: np.ndarray
) -> None:
    """The first eight and the last of `_counted`, of a set that begins at (a, b, c) of the box."""
    nx, ny, nz = inside.shape
    touches = surface(inside)
    n = sx = sy = sz = rim = around = above = 0
    slope, at_end = 0.0, False
    for x in range(nx):
        for y in range(ny):
            own, touching = inside[x, y], touches[x + 1, y + 1]
            count = 0
            for z in range(nz):
                count += own[z]
                sz += z * own[z]
            n, sx, sy = n + count, sx + x * count, sy + y * count
            if count:
                ends = (c == 0 and own[0]) or (c + nz == box.shape[2] and own[nz - 1])
                at_end |= ends or a + x == 0 or a + x + 1 == box.shape[0] or b + y == 0 or b + y + 1 == box.shape[1]
            for z in range(nz):
                if not touching[z + 1]:
                    continue
                if own[z]:
                    rim, slope = rim + 1, slope + gradient[a + x, b + y, c + z]
                else:
                    around, above = around + 1, above + (box[a + x, b + y, c + z] > threshold)
    out[0], out[1], out[2], out[3] = n, sx + n * a, sy + n * b, sz + n * c
    out[4], out[5], out[6], out[7], out[9] = rim, slope, around, above, at_end


@compiled
def _extent(image: np.ndarray, above: float, window: tuple[int, ...]) -> tuple[int, int, int, int, int, int]:
    """First and one beyond the last of x, of y and of z of a window where the image is above a value; each first is
    beyond its last where it never is."""
    x0, x1, y0, y1, z0, z1 = window[1], window[0], window[3], window[2], window[5], window[4]
    for x in range(window[0], window[1]):
        for y in range(window[2], window[3]):
            first, last = window[4], window[5] - 1
            while first <= last and not image[x, y, first] > above:
                first += 1
            if first > last:
                continue
            while not image[x, y, last] > above:
                last -= 1
            x0, x1, y0, y1 = min(x0, x), x + 1, min(y0, y), max(y1, y + 1)
            z0, z1 = min(z0, first), max(z1, last + 1)
    return x0, x1, y0, y1, z0, z1
