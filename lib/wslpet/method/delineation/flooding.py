"""Compiled loops over the voxels of a union of basins: flood, hulls, measurements."""

from __future__ import annotations

import numpy as np

from wslpet.core.arrays import Array
from wslpet.core.jit import compiled

NEVER = 127


@compiled
def first_level(value: float, levels: Array) -> int:
    """Index of the first of the falling levels that a value is above; NEVER if there is none."""
    for level in range(len(levels)):
        if value > levels[level]:
            return level
    return NEVER


@compiled
def flood(image: Array, labels: Array, members: Array, levels: Array, start: Array) -> tuple[Array, Array]:
    """`component_level` of a candidate: a flood from the start that falls through the levels.

    Returns
    -------
    it, in the extent of the lowest level's component and one voxel around it, where the image has them; and where that
    begins in the image.
    """
    nx, ny, nz = image.shape
    joined = np.full((nx, ny, nz), NEVER, dtype=np.int8)
    n = len(levels)
    # One stack a level, linked through the voxels.
    below = np.empty(image.size, dtype=np.int32)
    tops = np.full(n, -1, dtype=np.int32)
    low, high = start.copy(), start + 1
    first = first_level(image[start[0], start[1], start[2]], levels)
    if first != NEVER:
        joined[start[0], start[1], start[2]] = first
        here = (start[0] * ny + start[1]) * nz + start[2]
        below[here], tops[first] = -1, here
    for level in range(n):
        while tops[level] >= 0:
            here = tops[level]
            tops[level] = below[here]
            x, y, z = here // (ny * nz), here // nz % ny, here % nz
            low[0], low[1], low[2] = min(low[0], x), min(low[1], y), min(low[2], z)
            high[0], high[1], high[2] = max(high[0], x + 1), max(high[1], y + 1), max(high[2], z + 1)
            for step in range(6):
                a, b, c = _neighbour(x, y, z, step)
                if not _inside(a, b, c, joined.shape) or joined[a, b, c] != NEVER:
                    continue
                value = image[a, b, c]
                if not value > levels[n - 1] or not members[labels[a, b, c]]:
                    continue
                later = level
                while not value > levels[later]:
                    later += 1
                joined[a, b, c] = later
                there = (a * ny + b) * nz + c
                below[there] = tops[later]
                tops[later] = there
    for axis in range(3):
        low[axis], high[axis] = max(low[axis] - 1, 0), min(high[axis] + 1, image.shape[axis])
    return joined[low[0] : high[0], low[1] : high[1], low[2] : high[2]].copy(), low


@compiled
def _neighbour(x: int, y: int, z: int, step: int) -> tuple[int, int, int]:
    """One of the six voxels that share a face with one."""
    if step < 2:
        return x + 2 * step - 1, y, z
    if step < 4:
        return x, y + 2 * step - 5, z
    return x, y, z + 2 * step - 9


@compiled
def _inside(x: int, y: int, z: int, shape: tuple[int, int, int]) -> bool:
    return 0 <= x < shape[0] and 0 <= y < shape[1] and 0 <= z < shape[2]


@compiled
def hulls(joined: Array, n: int, normals: Array) -> Array:
    """`hull_level` of a candidate: between the planes along `normals` that bound the component at each of n levels."""
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
def accumulate(
    joined: Array,
    hulled: Array,
    levels: Array,
    corner: tuple[int, int, int],
    image: Array,
    gradient: Array,
    labels: Array,
    own_basin: int,
    nearest: Array,
    sums: Array,
    edges: Array,
) -> None:
    """Accumulate the measurements of each level.

    `sums` (as it is or with its hull, level, ...): number of voxels, sum of indices, sum of SUV, whether `nearest` is
    inside, number of voxels at the end of the box, in the basin of the point. `edges` (level, ...): number of boundary
    voxels, sum of their gradients, number of voxels that touch the component, number of these above the level.
    """
    nx, ny, nz = joined.shape
    n = len(levels)
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                own, hull = min(joined[x, y, z], n), min(hulled[x, y, z], n)
                # Of the touching voxels: the first and the last level at which one is of the component.
                soon, late = n, 0
                for step in range(6):
                    a, b, c = _neighbour(x, y, z, step)
                    if _inside(a, b, c, joined.shape):
                        other = min(joined[a, b, c], n)
                        soon, late = min(soon, other), max(late, other)
                    elif _inside(a + corner[0], b + corner[1], c + corner[2], image.shape):
                        late = n
                if own == n and soon == n and hull == n:
                    continue
                i, j, k = x + corner[0], y + corner[1], z + corner[2]
                value = image[i, j, k]
                hot = first_level(value, levels[:own]) if soon < own or hull < own else own
                at_point = x == nearest[0] and y == nearest[1] and z == nearest[2]
                at_end = (
                    i == 0
                    or j == 0
                    or k == 0
                    or i == image.shape[0] - 1
                    or j == image.shape[1] - 1
                    or k == image.shape[2] - 1
                )
                in_own = labels[i, j, k] == own_basin
                _add(sums[0, own], 1, x, y, z, value, at_point, at_end, in_own)
                # In the hull, but for the levels at which it is above and of something else.
                _add(sums[1, min(hull, own)], 1, x, y, z, value, at_point, at_end, in_own)
                if hull < own and hot < own:
                    _add(sums[1, max(hull, hot)], -1, x, y, z, value, at_point, at_end, in_own)
                    _add(sums[1, own], 1, x, y, z, value, at_point, at_end, in_own)
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
def _add(
    sums: Array, sign: int, x: int, y: int, z: int, value: float, at_point: bool, at_end: bool, in_own: bool
) -> None:
    sums[0] += sign
    sums[1] += sign * x
    sums[2] += sign * y
    sums[3] += sign * z
    sums[4] += sign * value
    sums[5] += sign * at_point
    sums[6] += sign * at_end
    sums[7] += sign * in_own
