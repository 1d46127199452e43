"""Unions of basins cut at levels of their contrast: all cuts of a union in one flood from where it started."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from wslpet.core.arrays import Array
from wslpet.core.jit import compiled
from wslpet.method.delineation.watershed import Basins, Union

# Shares of the contrast that a cut may lie at, highest first.
FRACTIONS = (0.85, 0.77, 0.70, 0.63, 0.57, 0.51, 0.46, 0.41, 0.37, 0.33, 0.29, 0.25, 0.21, 0.17, 0.13, 0.10, 0.07, 0.04)
# The background is what lies within so many mm along each axis of what is above this share of the peak: its lower
# quartile.
CORE = 0.42
BACKGROUND_MM = 12.0
BACKGROUND_QUANTILE = 0.25
# By column, what `Body.measured` says of a cut.
MEASURED = ("ml", "away_mm", "mean", "holds_point", "touches_box", "slope", "cut")
NEVER = 127

# The 13 pairs of planes that bound a hull: each lattice direction of a voxel's neighbours, those across z first.
_NORMALS = np.array(
    [(x, y, z) for z in (0, 1) for x in (-1, 0, 1) for y in (-1, 0, 1) if (z, x, y) > (0, 0, 0)], dtype=np.int64
)


@dataclass(frozen=True, eq=False)
class Body:
    """The cuts of a union: at each level, what is above it and connected to the start's maximum within the union.

    A cut may be taken as it is or with its hull, as a reader's line runs around a cavity. The hull never takes in what
    is above the level and not of the cut.

    Parameters
    ----------
    corner : where its window begins in the box.
    joined, above, hulled : (x, y, z) int8 in the window: the first level (by index) at which a voxel is of the cut, is
        above the level, lies in the cut's hull; `NEVER` if none.
    first : levels before this one cut no more than a smaller union does.
    """

    union: Union
    corner: tuple[int, int, int]
    peak: float
    background: float
    joined: Array
    above: Array
    hulled: Array
    first: int

    @classmethod
    def of(cls, basins: Basins, union: Union) -> Body | None:
        """None where no level cuts more than a smaller union does."""
        members = np.zeros(len(basins.peaks), dtype=np.bool_)
        members[list(union.basins)] = True
        low = basins.boxes[members, 0].min(axis=0)
        high = basins.boxes[members, 1].max(axis=0)
        window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        image, labels = basins.image[window], basins.labels[window]
        peak = float(_peak(image, labels, members))
        background = _background(basins, members, low, high, np.float32(CORE * peak))
        levels = background + np.array(FRACTIONS) * (peak - background)
        first = int((levels >= union.pass_suv).sum())
        if first == len(levels):
            return None
        start = basins.tops[union.start] - low
        joined, above = _flooded(image, labels, members, levels.astype(np.float32), start)
        hulled = _hulls(joined, len(FRACTIONS), _NORMALS)
        x, y, z = low.tolist()
        return cls(union, (x, y, z), peak, background, joined, above, hulled, first)

    def threshold(self, level: int) -> float:
        """SUV of a level."""
        return self.background + FRACTIONS[level] * (self.peak - self.background)

    def measured(self, basins: Basins, point: Array) -> Array:
        """(2, level, len(MEASURED)) of the cuts as they are, and with their hulls.

        ml : volume; 0 of a cut that holds nothing. away_mm : from its centroid to the point. mean : SUV. holds_point,
        touches_box : 0 or 1. slope : mean gradient of the cut's outermost voxels, SUV / mm. cut : share of the voxels
        that touch the cut which are above the level, too; these two are of the cut without its hull.

        Parameters
        ----------
        point : fractional voxel of the box.
        """
        n = len(FRACTIONS)
        sums, edges = np.zeros((2, n + 1, 7)), np.zeros((n + 1, 4))
        nearest = np.rint(point).astype(np.int64) - self.corner
        _summed(self.joined, self.above, self.hulled, self.corner, basins.image, basins.gradient, nearest, sums, edges)
        sums, edges = sums.cumsum(axis=1)[:, :-1], edges.cumsum(axis=0)[:-1]
        count = np.maximum(sums[..., 0], 1)
        away = sums[..., 1:4] / count[..., None] + self.corner - point
        slope = edges[:, 1] / np.maximum(edges[:, 0], 1)
        cut = edges[:, 3] / np.maximum(edges[:, 2], 1)
        return np.stack(
            [
                sums[..., 0] * np.prod(basins.spacing) / 1000.0,
                np.linalg.norm(away * basins.spacing, axis=-1),
                sums[..., 4] / count,
                sums[..., 5],
                sums[..., 6] > 0,
                np.broadcast_to(slope, (2, n)),
                np.broadcast_to(cut, (2, n)),
            ],
            axis=-1,
        )

    def cut(self, level: int, hull: bool) -> tuple[Array, tuple[int, int, int]]:
        """A cut, (x, y, z) bool in its extent, and where in the box that begins; holes filled, or with its hull."""
        inside = self.joined <= level
        if hull:
            inside |= (self.hulled <= level) & (self.above > level)
        else:
            inside = ndimage.binary_fill_holes(inside)
        ends = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        window = tuple(slice(int(e[0]), int(e[-1]) + 1) for e in ends)
        x, y, z = (c + w.start for c, w in zip(self.corner, window, strict=True))
        return np.ascontiguousarray(inside[window]), (x, y, z)


@compiled
def _peak(image: Array, labels: Array, members: Array) -> np.float32:
    peak = np.float32(-np.inf)
    nx, ny, nz = image.shape
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                if members[labels[x, y, z]]:
                    peak = max(peak, image[x, y, z])
    return peak


def _background(basins: Basins, members: Array, low: Array, high: Array, above: np.float32) -> float:
    steps = np.maximum(np.rint(BACKGROUND_MM / basins.spacing).astype(np.int64), 1)
    values = _shell(basins.image, basins.labels, members, low, high, steps, above)
    return _quantile(values, BACKGROUND_QUANTILE) if values.size else 0.0


@compiled
def _shell(
    image: Array,
    labels: Array,
    members: Array,
    low: Array,
    high: Array,
    steps: Array,
    above: float,
) -> Array:
    """The image within `steps` along each axis of the members' voxels that are above a value, without these."""
    x0, x1, y0, y1, z0, z1 = high[0], low[0], high[1], low[1], high[2], low[2]
    for x in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            for z in range(low[2], high[2]):
                if image[x, y, z] > above and members[labels[x, y, z]]:
                    x0, x1, y0, y1, z0, z1 = (
                        min(x0, x),
                        max(x1, x + 1),
                        min(y0, y),
                        max(y1, y + 1),
                        min(z0, z),
                        max(z1, z + 1),
                    )
    x0, x1 = max(x0 - steps[0], 0), min(x1 + steps[0], image.shape[0])
    y0, y1 = max(y0 - steps[1], 0), min(y1 + steps[1], image.shape[1])
    z0, z1 = max(z0 - steps[2], 0), min(z1 + steps[2], image.shape[2])
    if x0 >= x1:
        return np.empty(0, dtype=image.dtype)
    core = np.zeros((x1 - x0, y1 - y0, z1 - z0), dtype=np.bool_)
    near = np.zeros(core.shape, dtype=np.bool_)
    nx, ny, nz = core.shape
    for x in range(nx):
        for y in range(ny):
            last = -steps[2] - 1
            for z in range(nz):
                if image[x0 + x, y0 + y, z0 + z] > above and members[labels[x0 + x, y0 + y, z0 + z]]:
                    core[x, y, z] = True
                    for back in range(max(last + steps[2] + 1, z - steps[2], 0), z):
                        near[x, y, back] = True
                    last = z
                near[x, y, z] = z - last <= steps[2]
    for axis in range(2):
        grown = near.copy()
        n, step = core.shape[axis], steps[axis]
        for here in range(n):
            for there in range(max(here - step, 0), min(here + step + 1, n)):
                if axis == 0:
                    grown[here] |= near[there]
                else:
                    grown[:, here] |= near[:, there]
        near = grown
    values = np.empty(core.size, dtype=image.dtype)
    count = 0
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                if near[x, y, z] and not core[x, y, z]:
                    values[count] = image[x0 + x, y0 + y, z0 + z]
                    count += 1
    return values[:count]


def _quantile(values: Array, share: float) -> float:
    """Linear between the two values around it."""
    place = share * (values.size - 1)
    k = int(place)
    ordered = np.partition(values, (k, min(k + 1, values.size - 1)))
    low, high = float(ordered[k]), float(ordered[min(k + 1, values.size - 1)])
    return low + (place - k) * (high - low)


@compiled
def _flooded(image: Array, labels: Array, members: Array, levels: Array, start: Array) -> tuple[Array, Array]:
    """`Body.joined` and `Body.above`: a flood from the start, that falls through the levels."""
    nx, ny, nz = image.shape
    joined = np.full((nx, ny, nz), NEVER, dtype=np.int8)
    above = np.full((nx, ny, nz), NEVER, dtype=np.int8)
    n = len(levels)
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                value = image[x, y, z]
                if value > levels[n - 1]:
                    level = 0
                    while not value > levels[level]:
                        level += 1
                    above[x, y, z] = level
    # One stack a level, linked through the voxels.
    below = np.empty(image.size, dtype=np.int32)
    tops = np.full(n, -1, dtype=np.int32)
    first = above[start[0], start[1], start[2]]
    if first == NEVER:
        return joined, above
    seen = np.zeros((nx, ny, nz), dtype=np.bool_)
    seen[start[0], start[1], start[2]] = True
    here = (start[0] * ny + start[1]) * nz + start[2]
    below[here], tops[first] = -1, here
    for level in range(n):
        while tops[level] >= 0:
            here = tops[level]
            tops[level] = below[here]
            x, y, z = here // (ny * nz), here // nz % ny, here % nz
            joined[x, y, z] = level
            for step in range(6):
                a, b, c = x, y, z
                if step < 2:
                    a += 2 * step - 1
                elif step < 4:
                    b += 2 * step - 5
                else:
                    c += 2 * step - 9
                if a < 0 or b < 0 or c < 0 or a >= nx or b >= ny or c >= nz or seen[a, b, c]:
                    continue
                if above[a, b, c] == NEVER or not members[labels[a, b, c]]:
                    continue
                seen[a, b, c] = True
                later = max(above[a, b, c], level)
                there = (a * ny + b) * nz + c
                below[there] = tops[later]
                tops[later] = there
    return joined, above


@compiled
def _hulls(joined: Array, n: int, normals: Array) -> Array:
    """`Body.hulled`: between the planes along `normals` that bound the cut at each of the n levels."""
    nx, ny, nz = joined.shape
    hulled = joined.copy()
    far = 1 << 30
    low = np.full((n, len(normals)), far, dtype=np.int64)
    high = np.full((n, len(normals)), -far, dtype=np.int64)
    rows = np.full((nx, ny, n, 2), far, dtype=np.int32)
    # Only the ends of a row along z can bound a hull.
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                level = joined[x, y, z]
                if level != NEVER:
                    rows[x, y, level, 0] = min(rows[x, y, level, 0], z)
                    rows[x, y, level, 1] = z
    for x in range(nx):
        for y in range(ny):
            for level in range(n):
                if rows[x, y, level, 0] == far:
                    continue
                for end in range(2):
                    z = rows[x, y, level, end]
                    for i in range(len(normals)):
                        place = normals[i, 0] * x + normals[i, 1] * y + normals[i, 2] * z
                        low[level, i] = min(low[level, i], place)
                        high[level, i] = max(high[level, i], place)
    for level in range(1, n):
        for i in range(len(normals)):
            low[level, i] = min(low[level, i], low[level - 1, i])
            high[level, i] = max(high[level, i], high[level - 1, i])
    for x in range(nx):
        for y in range(ny):
            begin, end = nz, 0  # of what lies in the hull of the level before
            for level in range(n):
                a, b = 0, nz - 1
                for i in range(len(normals)):
                    flat = normals[i, 0] * x + normals[i, 1] * y
                    if normals[i, 2] == 0:
                        if flat < low[level, i] or flat > high[level, i]:
                            b = -1
                            break
                    elif normals[i, 2] > 0:
                        a, b = max(a, low[level, i] - flat), min(b, high[level, i] - flat)
                    else:
                        a, b = max(a, flat - high[level, i]), min(b, flat - low[level, i])
                if a > b:
                    continue
                for z in range(a, b + 1):
                    if not begin <= z < end:
                        hulled[x, y, z] = min(hulled[x, y, z], level)
                begin, end = a, b + 1
    return hulled


@compiled
def _summed(
    joined: Array,
    above: Array,
    hulled: Array,
    corner: tuple[int, int, int],
    image: Array,
    gradient: Array,
    nearest: Array,
    sums: Array,
    edges: Array,
) -> None:
    """Accumulate the measurements of each level.

    `sums` (cut or hull, level, ...): number of voxels, sum of indices, sum of SUV, whether `nearest` is inside, number
    of voxels at the end of the box. `edges` (level, ...): number of boundary voxels, sum of their gradients, number of
    voxels that touch the cut, number of these above the level.
    """
    nx, ny, nz = joined.shape
    n = len(edges) - 1
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                own, hot, hull = min(joined[x, y, z], n), min(above[x, y, z], n), min(hulled[x, y, z], n)
                # Of the touching voxels: the first and the last level at which one is of the cut.
                soon, late = n, 0
                for step in range(6):
                    a, b, c = x, y, z
                    if step < 2:
                        a += 2 * step - 1
                    elif step < 4:
                        b += 2 * step - 5
                    else:
                        c += 2 * step - 9
                    if 0 <= a < nx and 0 <= b < ny and 0 <= c < nz:
                        other = min(joined[a, b, c], n)
                        soon, late = min(soon, other), max(late, other)
                    elif (
                        0 <= a + corner[0] < image.shape[0]
                        and 0 <= b + corner[1] < image.shape[1]
                        and 0 <= c + corner[2] < image.shape[2]
                    ):
                        late = n
                if own == n and soon == n and hull == n:
                    continue
                i, j, k = x + corner[0], y + corner[1], z + corner[2]
                value = image[i, j, k]
                at_point = x == nearest[0] and y == nearest[1] and z == nearest[2]
                at_end = (
                    i == 0
                    or j == 0
                    or k == 0
                    or i == image.shape[0] - 1
                    or j == image.shape[1] - 1
                    or k == image.shape[2] - 1
                )
                _add(sums[0, own], 1, x, y, z, value, at_point, at_end)
                # In the hull, but for the levels at which it is above and of something else.
                _add(sums[1, min(hull, own)], 1, x, y, z, value, at_point, at_end)
                if hull < own and hot < own:
                    _add(sums[1, max(hull, hot)], -1, x, y, z, value, at_point, at_end)
                    _add(sums[1, own], 1, x, y, z, value, at_point, at_end)
                if own < late:
                    edges[own, 0] += 1
                    edges[own, 1] += gradient[i, j, k]
                    edges[late, 0] -= 1
                    edges[late, 1] -= gradient[i, j, k]
                if soon < own:
                    edges[soon, 2] += 1
                    edges[own, 2] -= 1
                    if hot < own:
                        edges[max(soon, hot), 3] += 1
                        edges[own, 3] -= 1


@compiled
def _add(sums: Array, sign: int, x: int, y: int, z: int, value: float, at_point: bool, at_end: bool) -> None:
    sums[0] += sign
    sums[1] += sign * x
    sums[2] += sign * y
    sums[3] += sign * z
    sums[4] += sign * value
    sums[5] += sign * at_point
    sums[6] += sign * at_end
