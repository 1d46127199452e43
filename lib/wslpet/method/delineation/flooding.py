"""Compiled loops over the voxels of a union of basins: flood, hulls, measurements."""

from __future__ import annotations

import numpy as np

from wslpet.core.arrays import Array
from wslpet.core.jit import compiled

NEVER = 127


@compiled
def flood(image: Array, labels: Array, members: Array, levels: Array, start: Array) -> tuple[Array, Array]:
    """`component_level` and `above_level` of a candidate: a flood from the start that falls through the levels."""
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
    levels: tuple[Array, Array, Array],
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

    `sums` (cut or hull, level, ...): number of voxels, sum of indices, sum of SUV, whether `nearest` is inside, number
    of voxels at the end of the box. `edges` (level, ...): number of boundary voxels, sum of their gradients, number of
    voxels that touch the cut, number of these above the level.
    """
    joined, above, hulled = levels
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
