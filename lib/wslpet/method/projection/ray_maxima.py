"""Maxima of a volume along x and along y with their indices, and its range, in one pass over its memory."""

from __future__ import annotations

import numpy as np

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.jit import compiled

# Order-preserving int32 keys of float32: the lower 31 bits of a negative number are flipped.
_LOWER_BITS = np.int32(0x7FFFFFFF)
_LOWEST, _HIGHEST = np.int32(-0x80000000), np.int32(0x7FFFFFFF)


class Maxima:
    """Running maxima of an array (x, y, z) float32, in any memory order and direction.

    NaN is ordered beyond all numbers, on the side of its sign.
    """

    def __init__(self, array: Array) -> None:
        # Slowest in memory first; of axes with one stride, those of a single voxel are the faster.
        self._order = sorted(range(3), key=lambda axis: (-abs(array.strides[axis]), -array.shape[axis]))
        self._flipped = [array.strides[axis] < 0 for axis in self._order]
        forward = tuple(slice(None, None, -1) if flipped else slice(None) for flipped in self._flipped)
        self._memory = np.ascontiguousarray(array.transpose(self._order)[forward], dtype=np.float32).view(np.int32)
        self._memory.flags.writeable = False
        across = [tuple(np.delete(self._memory.shape, axis)) for axis in range(3)]
        self._keys = [np.full(shape, _LOWEST) for shape in across]
        self._depths = [np.full(shape, _HIGHEST) for shape in across]
        self._range = (_HIGHEST, _LOWEST)

    def take(self, part: slice = slice(None)) -> None:
        """Add a part of the array: a slice of the axis that is slowest in memory, in memory order."""
        start, stop, _ = part.indices(len(self._memory))
        steps = [-1 if flipped else 1 for flipped in self._flipped]
        firsts = [n - 1 if flipped else 0 for n, flipped in zip(self._memory.shape, self._flipped, strict=True)]
        firsts[0] += steps[0] * start
        low, high = _take(
            self._memory[start:stop],
            self._order.index(2),
            tuple(firsts),
            tuple(steps),
            (self._keys[0], self._keys[1][start:stop], self._keys[2][start:stop]),
            (self._depths[0], self._depths[1][start:stop], self._depths[2][start:stop]),
        )
        self._range = (min(self._range[0], low), max(self._range[1], high))

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest value; one of them is NaN if a voxel is NaN."""
        low, high = _values(np.array(self._range, dtype=np.int32)).tolist()
        return low, high

    def along(self, ray: int) -> tuple[Array, Array]:
        """Maxima along axis 0 or 1: (u, z) float32 values, and int32 indices of the first maximum along the ray."""
        fixed = self._order.index(ray)
        left = [axis for axis in range(3) if axis != fixed]
        forward = tuple(slice(None, None, -1) if self._flipped[axis] else slice(None) for axis in left)
        images = (_values(self._keys[fixed])[forward], self._depths[fixed][forward])
        if self._order[left[0]] == 2:
            images = (images[0].T, images[1].T)
        return np.ascontiguousarray(images[0]), np.ascontiguousarray(images[1])


def _values(keys: Array) -> Array:
    values: FloatArray = (keys ^ ((keys >> 31) & _LOWER_BITS)).view(np.float32)
    return values


@compiled
def _take(
    part: Array,
    still: int,
    firsts: tuple[int, ...],
    steps: tuple[int, ...],
    keys: tuple[Array, ...],
    depths: tuple[Array, ...],
) -> tuple[np.int32, np.int32]:
    """Update the maxima of a part (a, b, c) along each axis except `still`, and the range.

    firsts, steps : index of the first voxel along each axis, and what is added from one to the next.
    keys, depths : by axis, the maxima over it so far and their indices.
    """
    low, high = _HIGHEST, _LOWEST
    row = np.empty(part.shape[2], dtype=np.int32)
    for a in range(part.shape[0]):
        for b in range(part.shape[1]):
            _ordered(part[a, b], row)
            if still != 0:
                _keep(row, np.int32(firsts[0] + steps[0] * a), keys[0][b], depths[0][b])
            if still != 1:
                _keep(row, np.int32(firsts[1] + steps[1] * b), keys[1][a], depths[1][a])
            least, most = _ends(row)
            low, high = min(low, least), max(high, most)
            if still != 2:
                where = _first(row, most, firsts[2], steps[2])
                keys[2][a, b], depths[2][a, b] = most, where
    return low, high


@compiled
def _ordered(bits: Array, row: Array) -> None:
    for c in range(row.size):
        key = bits[c] ^ ((bits[c] >> np.int32(31)) & _LOWER_BITS)
        row[c] = np.int32(0) if key == np.int32(-1) else key  # -0 is 0


@compiled
def _keep(row: Array, depth: int, keys: Array, depths: Array) -> None:
    for c in range(row.size):
        better = (row[c] > keys[c]) | ((row[c] == keys[c]) & (depth < depths[c]))
        keys[c] = row[c] if better else keys[c]
        depths[c] = depth if better else depths[c]


@compiled
def _ends(row: Array) -> tuple[np.int32, np.int32]:
    low, high = row[0], row[0]
    for c in range(row.size):
        low, high = min(low, row[c]), max(high, row[c])
    return low, high


@compiled
def _first(row: Array, key: np.int32, first: int, step: int) -> np.int32:
    found = _HIGHEST
    for c in range(row.size):
        found = min(found, np.int32(first + step * c) if row[c] == key else _HIGHEST)
    return found
