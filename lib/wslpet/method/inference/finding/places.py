"""Places of the MIPs' maps: their probability, back-projected into the volume, and its modes (ours)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.jit import compiled
from wslpet.method.inference.finding.maps import LesionMap

# Back-projected pixels with a lower probability are no candidates; with 0.1, no more lesions are found.
LEAST_MAP = 0.2
# A large lesion has many places, so that 40 are too few where there are several lesions: of those of 80 phantoms, 1.5
# points fewer are found at one false place a patient.
MOST = 120
# The highest probabilities near a place, one of each map, add up to this. Without it there are twice the candidates,
# and 83.6 instead of 83.4 % of the lesions are found.
LEAST_SUM = 0.8
# Pixels this near to a place of the maps are the same place; those this near to a voxel vote for it.
PLACE_MM = 10.0
VOTES_MM = 6.0
SHIFTS = 3


def map_places(maps: Sequence[LesionMap], spacing: FloatArray) -> list[tuple[float, float, float]]:
    """Modes of the back-projected maps, fractional voxels, the most probable first.

    Each pixel's probability is added to the voxel of its maximum. The voxel with the most probability within `VOTES_MM`
    is moved to the weighted mean of the voxels within `PLACE_MM`, in `SHIFTS` steps; both have then been taken. What
    only a map or two show, and faintly, is no place, see `LEAST_SUM`.
    """
    parts = [one.back_projected(LEAST_MAP) for one in maps]
    if not any(len(weight) for _, weight in parts):
        return []
    mm = np.concatenate([voxels for voxels, _ in parts]) * spacing
    weight = np.concatenate([own for _, own in parts]).astype(np.float64)
    shown_by = np.repeat(np.arange(len(parts)), [len(own) for _, own in parts])
    tree = cKDTree(mm)
    votes = votes_within(mm, weight, VOTES_MM)
    places: list[tuple[float, float, float]] = []
    for _ in range(MOST):
        if votes.max() <= 0:
            break
        start = mm[votes.argmax()]
        centre = start
        for _ in range(SHIFTS):
            near = tree.query_ball_point(centre, PLACE_MM)
            centre = weight[near] @ mm[near] / weight[near].sum()
        for taken in (start, centre):
            votes[tree.query_ball_point(taken, PLACE_MM)] = 0
        near = tree.query_ball_point(centre, PLACE_MM)
        highest = np.zeros(len(parts))
        np.maximum.at(highest, shown_by[near], weight[near])
        if highest.sum() >= LEAST_SUM:
            x, y, z = (centre / spacing).tolist()
            places.append((x, y, z))
    return places


def votes_within(mm: FloatArray, weight: FloatArray, radius: float) -> FloatArray:
    """(point,) sum of the weights within a radius of each point, its own included.

    Points are sorted into columns along z, so that memory grows with their number alone. Pairs of a tree took more than
    24 GB where a network that had learned little marked most of the body.

    Parameters
    ----------
    mm : (point, 3) positions. weight : (point,). radius : mm.
    """
    x, y = ((mm[:, :2] - mm[:, :2].min(axis=0)) // radius).astype(np.int64).T + 1
    row = int(y.max()) + 2
    column = x * row + y
    order = np.lexsort((mm[:, 2], column))
    first = np.searchsorted(column[order], np.arange(int(column.max()) + row + 3))
    votes = np.empty(len(mm))
    votes[order] = _votes(np.ascontiguousarray(mm[order].T), weight[order], column[order], first, row, radius)
    return votes


@compiled
def _votes(mm: Array, weight: Array, column: Array, first: Array, row: int, radius: float) -> Array:
    """As `votes_within`, of points (3, point) sorted by their column, then along z.

    first : of each column, its first point; row : columns from one to its neighbour along x.
    """
    x, y, z = mm
    votes = np.zeros(len(x))
    for i in range(len(x)):
        for beside in (-row, 0, row):
            for near in range(column[i] + beside - 1, column[i] + beside + 2):
                end = first[near + 1]
                j = first[near] + np.searchsorted(z[first[near] : end], z[i] - radius)
                while j < end and z[j] <= z[i] + radius:
                    if (x[j] - x[i]) ** 2 + (y[j] - y[i]) ** 2 + (z[j] - z[i]) ** 2 <= radius * radius:
                        votes[i] += weight[j]
                    j += 1
    return votes
