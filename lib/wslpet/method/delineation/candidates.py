"""Candidates: a union of basins with its threshold components, from the highest level to the lowest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wslpet.core.arrays import Array
from wslpet.core.jit import compiled
from wslpet.method.delineation.basins import Basins, Union
from wslpet.method.delineation.flooding import accumulate, flood, hulls, with_holes_filled

# Levels of the threshold, as shares of the contrast, highest first.
FRACTIONS = (0.85, 0.77, 0.70, 0.63, 0.57, 0.51, 0.46, 0.41, 0.37, 0.33, 0.29, 0.25, 0.21, 0.17, 0.13, 0.10, 0.07, 0.04)
# The background is the lower quartile of what lies within so many mm along each axis of the core, which is above this
# share of the peak.
CORE = 0.42
BACKGROUND_MM = 12.0
BACKGROUND_QUANTILE = 0.25
# By column, what `measurements` says of a component.
MEASURED = tuple(
    ["ml", "away_mm", "mean", "holds_point", "touches_box", "own_share", "boundary_slope", "open_boundary", "roughness"]
)

# The 13 pairs of planes that bound a hull: each lattice direction of a voxel's neighbours, those across z first.
_NORMALS = np.array(
    [(x, y, z) for z in (0, 1) for x in (-1, 0, 1) for y in (-1, 0, 1) if (z, x, y) > (0, 0, 0)], dtype=np.int32
)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A union of basins with its threshold components: what is above a level, connected to a top within the union.

    A component may be taken as it is or with its hull, as a reader's line runs around a cavity. The hull never takes in
    what is above the level and not of the component.

    Parameters
    ----------
    corner : where its window, which is the extent of its largest component, begins in the box.
    from_hottest : whether the components hold the union's hottest top, in place of that of the basin it was grown from.
    levels : (level,) SUV of the thresholds, highest first.
    image : (x, y, z) SUV in the window.
    component_level, hull_level : (x, y, z) int8 in the window: the first level (by index) at which a voxel is of the
        component, lies in its hull; `NEVER` if none.
    first_level : at levels before this one a smaller union has the same component.
    """

    union: Union
    from_hottest: bool
    corner: tuple[int, int, int]
    peak: float
    background: float
    levels: Array
    image: Array
    component_level: Array
    hull_level: Array
    first_level: int

    @classmethod
    def from_union(cls, basins: Basins, union: Union) -> list[Candidate]:
        """Make the candidates of a union.

        Two where the union was grown from a basin whose top is below some levels, as in a cavity: there the hottest top
        has components, too. None where a smaller union has the same components at each level.
        """
        members = np.zeros(len(basins.peaks), dtype=np.bool_)
        members[list(union.basins)] = True
        low, high = basins.boxes[members, 0].min(axis=0), basins.boxes[members, 1].max(axis=0)
        window = tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
        image, labels = basins.image[window], basins.labels[window]
        peak = float(_peak(image, labels, members))
        background = _background(basins, members, low, high, np.float32(CORE * peak))
        levels = background + np.array(FRACTIONS) * (peak - background)
        first = int((levels >= union.pass_suv).sum())
        if first == len(levels):
            return []
        hottest = max(union.basins, key=basins.peaks.__getitem__)
        starts = [union.start]
        if hottest != union.start and basins.peaks[union.start] < levels[0]:
            starts.append(hottest)
        falling = levels.astype(np.float32)
        found = []
        for start in starts:
            component, corner = flood(image, labels, members, falling, basins.tops[start] - low)
            hull = hulls(component, len(FRACTIONS), _NORMALS)
            own = image[tuple(slice(c, c + n) for c, n in zip(corner.tolist(), component.shape, strict=True))]
            x, y, z = (corner + low).tolist()
            which = (union, start != union.start, (x, y, z), peak, background)
            found.append(cls(*which, falling, own, component, hull, first))
        return found

    def threshold(self, level: int) -> float:
        """SUV of a level."""
        return self.background + FRACTIONS[level] * (self.peak - self.background)

    def threshold_component(self, level: int, hull: bool) -> tuple[Array, tuple[int, int, int]]:
        """Component of a level, (x, y, z) bool in its extent, and where in the box that begins.

        With its hull, or else with its holes filled.
        """
        inside = self.component_level <= level
        if hull:
            inside |= (self.hull_level <= level) & ~(self.image > self.levels[level])
        else:
            inside = with_holes_filled(inside)
        ends = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        window = tuple(slice(int(e[0]), int(e[-1]) + 1) for e in ends)
        x, y, z = (c + w.start for c, w in zip(self.corner, window, strict=True))
        return np.ascontiguousarray(inside[window]), (x, y, z)

    def overlaps(self, truth: Array) -> Array:
        """(2, level) how much of a mask each component holds, as it is and with its hull; the mask is of the box.

        Parameters
        ----------
        truth : (x, y, z) share of each voxel that is in the mask.
        """
        window = tuple(slice(c, c + n) for c, n in zip(self.corner, self.component_level.shape, strict=True))
        inside, n = truth[window] > 0, len(FRACTIONS)
        shares = truth[window][inside].astype(np.float64)
        own, hull = (np.minimum(levels[inside], n) for levels in (self.component_level, self.hull_level))
        above = np.searchsorted(-self.levels, -self.image[inside], side="right")

        def by_level(levels: Array, of: Array) -> Array:
            return np.bincount(levels[of], shares[of], minlength=n + 1)

        alone = by_level(own, np.ones(len(own), dtype=bool))
        last = np.minimum(own, above)
        added = hull < last
        more = by_level(hull, added) - by_level(last, added)
        counts: Array = np.stack([alone, alone + more]).cumsum(axis=1)[:, :n]
        return counts


def measurements(candidates: Sequence[Candidate], basins: Basins, point: Array) -> Array:
    """(candidate, 2, level, len(MEASURED)) of the components as they are, and with their hulls.

    ml : volume; 0 of a component that holds nothing. away_mm : from its centroid to the point. mean : SUV.
    holds_point, touches_box : 0 or 1. own_share : share of its voxels in the basin of the point. boundary_slope :
    mean gradient on the component's inner boundary, SUV / mm. open_boundary : share of the voxels that touch the
    component which are above the level, too. roughness : voxels of the inner boundary by the 2/3 power of all.
    The last three are of the component without its hull.

    Parameters
    ----------
    candidates : of the basins.
    point : fractional voxel of the box.
    """
    n = len(FRACTIONS)
    sums: Array = np.zeros((len(candidates), 2, n + 1, 8))
    edges: Array = np.zeros((len(candidates), n + 1, 4))
    voxel, own = np.rint(point).astype(np.int64), basins.starts[0]
    image, gradient, labels = basins.image, basins.gradient, basins.labels
    for one, of_one, at_edges in zip(candidates, sums, edges, strict=True):
        joined, hulled = one.component_level, one.hull_level
        nearest = voxel - one.corner
        accumulate(joined, hulled, one.levels, one.corner, image, gradient, labels, own, nearest, of_one, at_edges)
    sums, edges = sums.cumsum(axis=2)[:, :, :-1], edges.cumsum(axis=1)[:, :-1]
    corners = np.array([one.corner for one in candidates]).reshape(-1, 1, 1, 3)
    count = np.maximum(sums[..., 0], 1)
    away = sums[..., 1:4] / count[..., None] + corners - point
    measured = np.empty((*count.shape, len(MEASURED)))
    measured[..., 0] = sums[..., 0] * np.prod(basins.spacing) / 1000.0
    measured[..., 1] = np.sqrt(((away * basins.spacing) ** 2).sum(axis=-1))
    measured[..., 2] = sums[..., 4] / count
    measured[..., 3] = sums[..., 5]
    measured[..., 4] = sums[..., 6] > 0
    measured[..., 5] = sums[..., 7] / count
    measured[..., 6] = (edges[..., 1] / np.maximum(edges[..., 0], 1))[:, None]
    measured[..., 7] = (edges[..., 3] / np.maximum(edges[..., 2], 1))[:, None]
    measured[..., 8] = edges[:, None, :, 0] / count[:, :1] ** (2 / 3)
    return measured


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
                    x0, y0, z0 = min(x0, x), min(y0, y), min(z0, z)
                    x1, y1, z1 = max(x1, x + 1), max(y1, y + 1), max(z1, z + 1)
    x0, x1 = max(x0 - steps[0], 0), min(x1 + steps[0], image.shape[0])
    y0, y1 = max(y0 - steps[1], 0), min(y1 + steps[1], image.shape[1])
    z0, z1 = max(z0 - steps[2], 0), min(z1 + steps[2], image.shape[2])
    if x0 >= x1:
        return np.empty(0, dtype=image.dtype)
    core = np.zeros((x1 - x0, y1 - y0, z1 - z0), dtype=np.uint8)
    near = np.zeros(core.shape, dtype=np.uint8)
    nx, ny, nz = core.shape
    for x in range(nx):
        for y in range(ny):
            last = -steps[2] - 1
            for z in range(nz):
                if image[x0 + x, y0 + y, z0 + z] > above and members[labels[x0 + x, y0 + y, z0 + z]]:
                    core[x, y, z] = 1
                    for back in range(max(last + steps[2] + 1, z - steps[2], 0), z):
                        near[x, y, back] = 1
                    last = z
                near[x, y, z] = z - last <= steps[2]
    wide = near.copy()
    for x in range(nx):
        for there in range(max(x - steps[0], 0), min(x + steps[0] + 1, nx)):
            _join(wide[x].ravel(), near[there].ravel())
    near = wide.copy()
    for x in range(nx):
        for y in range(ny):
            for there in range(max(y - steps[1], 0), min(y + steps[1] + 1, ny)):
                _join(near[x, y], wide[x, there])
    values = np.empty(core.size, dtype=image.dtype)
    count = 0
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                if near[x, y, z] > core[x, y, z]:
                    values[count] = image[x0 + x, y0 + y, z0 + z]
                    count += 1
    return values[:count]


@compiled
def _join(ones: Array, others: Array) -> None:
    for i in range(ones.size):
        ones[i] |= others[i]


def _quantile(values: Array, share: float) -> float:
    """Linear between the two values around it."""
    place = share * (values.size - 1)
    k = int(place)
    ordered = np.partition(values, (k, min(k + 1, values.size - 1)))
    low, high = float(ordered[k]), float(ordered[min(k + 1, values.size - 1)])
    return low + (place - k) * (high - low)
