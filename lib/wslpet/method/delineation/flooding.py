"""Compiled loops over the voxels of a union of basins: flood, hulls, measurements."""

from __future__ import annotations

import numpy as np

from wslpet.core.arrays import Array
from wslpet.core.jit import compiled

NEVER = 127


@compiled
def first_level(value: float, levels: Array) -> int:
    """Index of the first of the falling levels that a value is above; NEVER if there is none."""
    if not value > levels[-1]:
        return NEVER
    level = 0
    while not value > levels[level]:
        level += 1
    return level


@compiled
def flood(image: Array, labels: Array, members: Array, levels: Array, start: Array) -> tuple[Array, Array]:
    """`component_level` of a candidate: a flood from the start that falls through the levels.

    Returns
    -------
    it, in the extent of the lowest level's component and one voxel around it, where the image has them; and where that
    begins in the image.
    """
    nx, ny, nz = image.shape
    n = len(levels)
    # With a border that is closed, so that no neighbour has to be looked up beyond the image.
    to_come = np.full((nx + 2, ny + 2, nz + 2), NEVER, dtype=np.int8)
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                if image[x, y, z] > levels[n - 1] and members[labels[x, y, z]]:
                    to_come[x + 1, y + 1, z + 1] = first_level(image[x, y, z], levels)
    joined = np.full(to_come.shape, NEVER, dtype=np.int8)
    _fall(to_come.ravel(), joined.ravel(), ((ny + 2) * (nz + 2), nz + 2, 1), start + 1, n)
    low, high = _extent(joined, start + 1)
    for axis in range(3):
        low[axis], high[axis] = max(low[axis] - 2, 0), min(high[axis], image.shape[axis])
    x, y, z = low + 1
    return joined[x : high[0] + 1, y : high[1] + 1, z : high[2] + 1].copy(), low


@compiled
def with_holes_filled(inside: Array) -> Array:
    """A mask (x, y, z) with all that no path across voxels' faces leads out of."""
    nx, ny, nz = inside.shape
    # Around the mask one layer of voxels to walk in, and around these a border that is closed.
    to_come = np.full((nx + 4, ny + 4, nz + 4), NEVER, dtype=np.int8)
    to_come[1:-1, 1:-1, 1:-1] = 0
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                if inside[x, y, z]:
                    to_come[x + 2, y + 2, z + 2] = NEVER
    outside = np.full(to_come.shape, NEVER, dtype=np.int8)
    _fall(to_come.ravel(), outside.ravel(), ((ny + 4) * (nz + 4), nz + 4, 1), np.array((1, 1, 1)), 1)
    filled: Array = outside[2:-2, 2:-2, 2:-2] == NEVER
    return filled


@compiled
def _fall(to_come: Array, joined: Array, strides: tuple[int, int, int], start: Array, n: int) -> None:
    """Join flat voxels to the start, level by level; a voxel that has joined is no longer to come."""
    # One stack a level, linked through the voxels.
    below = np.empty(joined.size, dtype=np.int32)
    tops = np.full(n, -1, dtype=np.int32)
    here = start[0] * strides[0] + start[1] * strides[1] + start[2] * strides[2]
    first = to_come[here]
    if first == NEVER:
        return
    joined[here], to_come[here] = first, NEVER
    below[here], tops[first] = -1, here
    for level in range(n):
        while tops[level] >= 0:
            here = tops[level]
            tops[level] = below[here]
            for stride in strides:
                for there in (here - stride, here + stride):
                    if to_come[there] != NEVER:
                        later = max(level, to_come[there])
                        joined[there], to_come[there] = later, NEVER
                        below[there], tops[later] = tops[later], there


@compiled
def _extent(joined: Array, start: Array) -> tuple[Array, Array]:
    """Of a voxel and all that have joined it: the first along each axis, and one beyond the last."""
    nx, ny, nz = joined.shape
    low, high = start.copy(), start + 1
    for x in range(nx):
        for y in range(ny):
            first = 0
            while first < nz and joined[x, y, first] == NEVER:
                first += 1
            if first == nz:
                continue
            last = nz - 1
            while joined[x, y, last] == NEVER:
                last -= 1
            low[0], low[1], low[2] = min(low[0], x), min(low[1], y), min(low[2], first)
            high[0], high[1], high[2] = max(high[0], x + 1), max(high[1], y + 1), max(high[2], last + 1)
    return low, high


@compiled
def hulls(joined: Array, n: int, normals: Array) -> Array:
    """`hull_level` of a candidate: between the planes along `normals` that bound the component at each of n levels.

    normals : (normal, 3), along z 0 or 1, those with 0 first.
    """
    nx, ny, nz = joined.shape
    low, high = _planes(joined, n, normals)
    across = np.count_nonzero(normals[:, 2] == 0)
    begin, end = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
    hulled = joined.copy()
    for x in range(nx):
        for y in range(ny):
            begin[:], end[:] = 0, nz
            for i in range(across, len(normals)):
                flat = np.int32(normals[i, 0] * x + normals[i, 1] * y)
                for level in range(n):
                    begin[level] = max(begin[level], low[i, level] - flat)
                    end[level] = min(end[level], high[i, level] - flat + np.int32(1))
            for i in range(across):
                flat = np.int32(normals[i, 0] * x + normals[i, 1] * y)
                for level in range(n):
                    if flat < low[i, level] or flat > high[i, level]:
                        end[level] = 0
            # The hull of a higher level lies in that of a lower one.
            row = hulled[x, y]
            level = n - 1
            while level > 0 and begin[level] < end[level]:
                _at_most(row, level, begin[level], min(begin[level - 1], end[level]))
                _at_most(row, level, max(end[level - 1], begin[level]), end[level])
                level -= 1
            if begin[level] < end[level]:
                _at_most(row, level, begin[level], end[level])
    return hulled


@compiled
def _at_most(row: Array, level: int, begin: int, end: int) -> None:
    for z in range(begin, end):
        row[z] = min(row[z], level)


@compiled
def _planes(joined: Array, n: int, normals: Array) -> tuple[Array, Array]:
    """(normal, level) the first and the last plane that bound the component."""
    nx, ny, nz = joined.shape
    far = np.int32(1 << 30)
    low = np.full((n, len(normals)), far, dtype=np.int32)
    high = np.full((n, len(normals)), -far, dtype=np.int32)
    flat, along = np.empty(len(normals), dtype=np.int32), normals[:, 2].astype(np.int32)
    for x in range(nx):
        for y in range(ny):
            for i in range(len(normals)):
                flat[i] = normals[i, 0] * x + normals[i, 1] * y
            row = joined[x, y]
            least = row[0]
            for z in range(1, nz):
                least = min(least, row[z])
            # From either end of a row, only voxels of a higher level than those before bound a hull.
            before, z = np.int64(NEVER), 0
            while before > least:
                if row[z] < before:
                    before = row[z]
                    for i in range(len(normals)):
                        low[before, i] = min(low[before, i], flat[i] + along[i] * np.int32(z))
                z += 1
            before, z = np.int64(NEVER), nz - 1
            while before > least:
                if row[z] < before:
                    before = row[z]
                    for i in range(len(normals)):
                        high[before, i] = max(high[before, i], flat[i] + along[i] * np.int32(z))
                z -= 1
    for level in range(1, n):
        for i in range(len(normals)):
            low[level, i] = min(low[level, i], low[level - 1, i])
            high[level, i] = max(high[level, i], high[level - 1, i])
    return low.T.copy(), high.T.copy()


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
    touching = np.empty((2, nz), dtype=np.int8)
    beyond = np.full(nz, NEVER, dtype=np.int8)
    for x in range(nx):
        i = x + corner[0]
        for y in range(ny):
            j = y + corner[1]
            row = joined[x, y]
            # A row beyond the window is not of the component; one beyond the image counts no more than the row itself.
            _touching(
                row,
                joined[x - 1, y] if x > 0 else beyond if i > 0 else row,
                joined[x + 1, y] if x + 1 < nx else beyond if i + 1 < image.shape[0] else row,
                joined[x, y - 1] if y > 0 else beyond if j > 0 else row,
                joined[x, y + 1] if y + 1 < ny else beyond if j + 1 < image.shape[1] else row,
                NEVER if corner[2] > 0 else row[0],
                NEVER if corner[2] + nz < image.shape[2] else row[-1],
                touching,
            )
            row_at_end = i == 0 or j == 0 or i == image.shape[0] - 1 or j == image.shape[1] - 1
            row_at_point = x == nearest[0] and y == nearest[1]
            for z in range(nz):
                if hulled[x, y, z] == NEVER and touching[0, z] == NEVER:
                    continue
                k = z + corner[2]
                own, hull = min(row[z], n), min(hulled[x, y, z], n)
                # Of the touching voxels: the first and the last level at which one is of the component.
                soon, late = min(touching[0, z], n), min(touching[1, z], n)
                value = image[i, j, k]
                hot = first_level(value, levels) if soon < own or hull < own else own
                at_point = row_at_point and z == nearest[2]
                at_end = row_at_end or k == 0 or k == image.shape[2] - 1
                in_own = labels[i, j, k] == own_basin
                if own < n:
                    _add(sums[0, own], 1, x, y, z, value, at_point, at_end, in_own)
                if hull < n:
                    # In the hull, but for the levels at which it is above and of something else.
                    _add(sums[1, min(hull, own)], 1, x, y, z, value, at_point, at_end, in_own)
                if hull < own and hot < own:
                    _add(sums[1, max(hull, hot)], -1, x, y, z, value, at_point, at_end, in_own)
                    if own < n:
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
def _touching(
    row: Array, left: Array, right: Array, front: Array, back: Array, below: int, above: int, touching: Array
) -> None:
    """(2, z) the least and the greatest level of the six voxels that touch each of a row."""
    nz = len(row)
    least, greatest = touching[0], touching[1]
    for z in range(nz):
        least[z] = min(min(left[z], right[z]), min(front[z], back[z]))
        greatest[z] = max(max(left[z], right[z]), max(front[z], back[z]))
    for z in range(nz):
        one = row[z - 1] if z > 0 else below
        other = row[z + 1] if z + 1 < nz else above
        least[z] = min(least[z], min(one, other))
        greatest[z] = max(greatest[z], max(one, other))


@compiled
def _add(
    sums: Array, sign: int, x: int, y: int, z: int, value: float, at_point: bool, at_end: bool, in_own: bool
) -> None:
    sums[0] += sign
    sums[1] += sign * x
    sums[2] += sign * y
    sums[3] += sign * z
    sums[4] += sign * value
    if at_point:
        sums[5] += sign
    if at_end:
        sums[6] += sign
    if in_own:
        sums[7] += sign
