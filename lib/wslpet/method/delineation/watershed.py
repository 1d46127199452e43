"""Watershed by compiled loops: the maximum that each voxel leads to, the passes between basins, their growth."""

from __future__ import annotations

import numpy as np

from wslpet.core.arrays import Array
from wslpet.core.jit import compiled

# Two maxima with a saddle at this share of the lower are one maximum with noise.
SAME_PEAK = 0.97


def uphill(image: Array, reach: list[int]) -> Array:
    """Find the local maximum that each voxel leads to: (voxel,) flat indices.

    Each step goes to the highest of the voxels within `reach` along each axis; of equal ones to the last.
    """
    nx, ny, nz = image.shape
    ranks = np.empty((nx, ny * nz), dtype=np.int64)
    highest, top = np.empty_like(ranks), np.empty(image.size, dtype=np.int32)
    _climb(image.view(np.int32).reshape(nx, ny * nz), nz, tuple(reach), ranks, highest, top)
    return top


@compiled
def _climb(bits: Array, nz: int, reach: tuple[int, ...], ranks: Array, highest: Array, top: Array) -> None:
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
def number(top: Array, smooth: Array, numbers: Array, floor: float, labels: Array) -> None:
    """Labels of flat voxels: the number of the maximum that each leads to; 0 where the image is not above the floor."""
    for i in range(top.size):
        labels[i] = numbers[top[i]] if smooth[i] > floor else 0


@compiled
def merge(labels: Array, roots: Array, boxes: Array) -> None:
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
def _rank(bits: Array, start: int, ranks: Array) -> None:
    """int64 in the order of float32 values; in its lower half the flat index, which tells equal ones apart."""
    for z in range(bits.size):
        key = np.int64(bits[z])
        key = key ^ 0x7FFFFFFF if key < 0 else key
        ranks[z] = ((0 if key == -1 else key) << 32) | (start + z)  # -0 is 0


@compiled
def _raise(highest: Array, ranks: Array, anew: bool) -> None:
    for z in range(highest.size):
        highest[z] = ranks[z] if anew else max(highest[z], ranks[z])


def falling(passes: Array) -> tuple[Array, Array]:
    """(pass,) the two basins of each pass, the highest first."""
    flat = passes.ravel()
    code = np.flatnonzero(flat > -np.inf)
    low, high = np.divmod(code[np.argsort(-flat[code], kind="stable")], len(passes))
    return low, high


@compiled
def saddles(passes: Array, roots: Array) -> Array:
    """(basin, basin) SUV of the highest pass between two that are left after merging; -inf where there is none."""
    saddles = np.full(passes.shape, -np.inf, dtype=np.float32)
    for low in range(len(passes)):
        for high in range(low + 1, len(passes)):
            a, b, height = roots[low], roots[high], passes[low, high]
            if a != b and height > saddles[a, b]:
                saddles[a, b] = saddles[b, a] = height
    return saddles


@compiled
def grown(saddles: Array, peaks: Array, start: int, lowest: Array) -> tuple[Array, Array, Array]:
    """Basins in the order in which they are reached from `start`, the best pass first, as a share of the lower peak.

    Returns
    -------
    order : (basin,). sizes : (share,) how many of them are reached across passes no lower than each of `lowest`.
    shares : (share, 3) the lowest pass crossed, the highest refused; SUV of the highest into what the share before did
    not reach, infinite at first.
    """
    n = len(peaks)
    order, sizes = np.empty(n, dtype=np.int32), np.empty(len(lowest), dtype=np.int32)
    shares = np.empty((len(lowest), 3), dtype=np.float32)
    reachable, taken = saddles[start].copy(), np.zeros(n, dtype=np.bool_)
    order[0], taken[start] = start, True
    size, peak, crossed = 1, peaks[start], np.float32(1.0)
    highest = np.float32(np.inf)
    for i in range(len(lowest)):
        while True:
            best, ratio = -1, np.float32(0.0)
            for other in range(n):
                if not taken[other] and reachable[other] > ratio * min(peak, peaks[other]):
                    best, ratio = other, reachable[other] / min(peak, peaks[other])
            if best < 0 or ratio < lowest[i]:
                break
            order[size], taken[best] = best, True
            size, peak, crossed = size + 1, max(peak, peaks[best]), min(crossed, ratio)
            highest = max(highest, reachable[best])
            for other in range(n):
                reachable[other] = max(reachable[other], saddles[best, other])
        sizes[i] = size
        shares[i] = (crossed, ratio, highest)
        if size > (sizes[i - 1] if i else 0):
            highest = np.float32(-np.inf)
    return order, sizes, shares


@compiled
def passes(labels: Array, smooth: Array, n: int) -> Array:
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
def _pass(passes: Array, one: int, two: int, here: float, there: float) -> None:
    if two != one and two != 0:
        low, high = min(one, two), max(one, two)
        passes[low, high] = max(passes[low, high], min(here, there))


@compiled
def merge_noise(peaks: Array, passes: Array, low: Array, high: Array) -> Array:
    """The basin that each one is part of once maxima that only noise separates are one.

    Parameters
    ----------
    passes : (basin, basin). low, high : (pass,) the two basins of each, the highest first.
    """
    roots = np.arange(len(peaks)).astype(np.int32)
    for i in range(len(low)):
        a, b = low[i], high[i]
        while roots[a] != a:
            a = roots[a]
        while roots[b] != b:
            b = roots[b]
        if a != b and passes[low[i], high[i]] >= SAME_PEAK * min(peaks[a], peaks[b]):
            if peaks[a] >= peaks[b]:
                roots[b] = a
            else:
                roots[a] = b
    for i in range(len(roots)):
        end = i
        while roots[end] != end:
            end = roots[end]
        roots[i] = end
    return roots
