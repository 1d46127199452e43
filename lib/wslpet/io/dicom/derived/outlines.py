"""Outlines of a mask's slices as polygons along the edges of its pixels."""

from __future__ import annotations

import numpy as np

from wslpet.core.arrays import Array, BoolArray

Corner = tuple[int, int]
# Edges of a pixel at (0, 0), counter-clockwise: first corner, second corner, neighbouring pixel.
_EDGES = (((0, 0), (1, 0), (0, -1)), ((1, 0), (1, 1), (1, 0)), ((1, 1), (0, 1), (0, 1)), ((0, 1), (0, 0), (-1, 0)))


def outlines(inside: BoolArray) -> list[Array]:
    """Make a closed polygon around each connected component of a slice; a channel of zero width leads to each hole.

    The polygons run along pixel edges, so that their area is that of the pixels, and every pixel centre is half a pixel
    from them. The channels (keyholes of PS3.3 C.8.8.6.3) allow CLOSED_PLANAR contours to have holes.

    Parameters
    ----------
    inside : (i, j) bool.

    Returns
    -------
    the corners (corner, 2) of each polygon as fractional indices; the last corner is joined to the first. Pixels that
    touch only at a corner are not connected.
    """
    loops = _loops(inside)
    outer = [loop for loop in loops if _area(loop) > 0]
    for hole in sorted((loop for loop in loops if _area(loop) < 0), key=min):
        _open(hole, outer)
    return [_without_straight(loop) - 0.5 for loop in outer]


def _loops(inside: BoolArray) -> list[list[Corner]]:
    """Return all boundaries, with the inside on the left. Corner (i, j) is that of pixel (i, j) nearest the origin."""
    padded = np.pad(inside, 1)
    ahead: dict[Corner, list[Corner]] = {}
    for start, end, (di, dj) in _EDGES:
        beyond = padded[1 + di : padded.shape[0] - 1 + di, 1 + dj : padded.shape[1] - 1 + dj]
        for i, j in np.argwhere(inside & ~beyond).tolist():
            ahead.setdefault((i + start[0], j + start[1]), []).append((i + end[0], j + end[1]))
    loops = []
    while ahead:
        first = here = next(iter(ahead))
        loop: list[Corner] = []
        step = (0, 0)
        while not loop or here != first:
            loop.append(here)
            there = _leftmost(here, ahead[here], step)
            ahead[here].remove(there)
            if not ahead[here]:
                del ahead[here]
            step, here = (there[0] - here[0], there[1] - here[1]), there
        loops.append(loop)
    return loops


def _leftmost(here: Corner, choices: list[Corner], step: Corner) -> Corner:
    """Choose the next corner: where two pixels touch at a corner, the one that stays at the same pixel."""
    left = (here[0] - step[1], here[1] + step[0])
    return left if left in choices else choices[0]


def _open(hole: list[Corner], outer: list[list[Corner]]) -> None:
    """Join a hole to the nearest boundary in the direction of smaller i."""
    start = min(hole)
    for i in range(start[0], -1, -1):
        for loop in outer:
            if (i, start[1]) in loop:
                at, begin = loop.index((i, start[1])), hole.index(start)
                channel = [(n, start[1]) for n in range(i + 1, start[0])]
                loop[at + 1 : at + 1] = [*channel, *hole[begin:], *hole[:begin], start, *channel[::-1], loop[at]]
                return
    raise AssertionError("a hole has a boundary around it")


def _area(loop: list[Corner]) -> float:
    i, j = np.array(loop, float).T
    return float(i @ np.roll(j, -1) - j @ np.roll(i, -1)) / 2


def _without_straight(loop: list[Corner]) -> Array:
    """Keep only the corners at which the direction changes."""
    corners = np.array([corner for n, corner in enumerate(loop) if corner != loop[n - 1]], float)
    before, after = corners - np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0) - corners
    kept: Array = corners[(before != after).any(axis=1)]
    return kept
