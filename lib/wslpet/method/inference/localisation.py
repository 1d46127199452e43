"""Localisation: CAMs and depth maps of two MIPs → points in the volume → a 3D lesion (paper §3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.jit import compiled
from wslpet.core.volume import Volume
from wslpet.method.delineation.contours import REACHES_MM, Contour, delineated
from wslpet.method.network.cam import Cams
from wslpet.method.projection.mip import VIEWS, GridImage, Projection

# Distance of a point from the lesion's centre, SD per axis: of a click, and of a finding of the CAMs.
CLICK_SD_MM = 5.0
CAM_SD_MM = 9.0
# Sizes of the box searched around a finding; the largest is searched around clicks only, since a finding may be false.
CAM_REACHES_MM = REACHES_MM[:2]
# Back-projected points within this distance of the best one are one finding.
FINDING_MM = 24.0
FINDINGS = 12
# Points whose log score is this far below the best are ignored: even a million of them have no mass.
NEGLIGIBLE = -30.0
# Least share of the map's mass of a finding after the first, to be the lesion, and the weight of the contour score
# against the log of the share. Both were chosen on phantoms.
LEAST_SHARE = 0.05
SCORE_WEIGHT = 0.5


@dataclass(frozen=True)
class Finding:
    """A point of high activation in both CAMs.

    Parameters
    ----------
    index : (x, y, z) fractional voxel of the RAS volume.
    share : of the weight, exp(coronal CAM + sagittal CAM) of its type, of all back-projected pixels of the two MIPs,
        which are those of at least SUV 1. The 3D map has far more voxels; those that no MIP shows do not count.
    """

    index: tuple[float, float, float]
    share: float


@dataclass(frozen=True, eq=False)
class ScaleOutput:
    """Output of the network for one scan at one scale.

    Parameters
    ----------
    images : view → the MIP on the grid.
    cams : of this one patient.
    """

    images: dict[str, GridImage]
    cams: Cams

    def cam(self, class_index: int, projection: Projection) -> FloatArray:
        """CAM of a class, (u, z), interpolated linearly to the pixels of a projection."""
        image = self.images[projection.view]
        values: FloatArray = getattr(self.cams, projection.view)[0, class_index].cpu().numpy()
        for axis, n in enumerate(projection.mip.shape):
            pixels = image.from_voxel(np.repeat(np.arange(n)[:, None], 2, axis=1))[:, axis]
            values = _between(values, (pixels + 0.5) * image.grid_mm / self.cams.cell_mm - 0.5, axis)
        return values


def _between(values: FloatArray, cells: FloatArray, axis: int) -> FloatArray:
    """Interpolate linearly at fractional cells along an axis; constant beyond the ends."""
    cells = np.clip(cells, 0, values.shape[axis] - 1)
    low = np.minimum(cells.astype(int), max(values.shape[axis] - 2, 0))
    high = np.minimum(low + 1, values.shape[axis] - 1)
    share = (cells - low).astype(np.float32)
    share = share[:, None] if axis == 0 else share
    interpolated: FloatArray = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return interpolated


@dataclass(frozen=True, eq=False)
class CamPoints:
    """The back-projected pixels of a patient's two CAMs.

    Parameters
    ----------
    voxels : (n, 3) of the RAS volume.
    scores : (n,) coronal CAM + sagittal CAM at each, averaged over the scales.
    spacing : of the voxels, mm.
    """

    voxels: Array
    scores: Array
    spacing: FloatArray

    @classmethod
    def from_outputs(
        cls, scale_outputs: Sequence[ScaleOutput], class_index: int, projections: dict[str, Projection]
    ) -> CamPoints:
        """Back-project every MIP pixel by its depth map to the voxel of its maximum, and score it there.

        The score is the coronal CAM at (x, z) plus the sagittal CAM at (y, z) (the combination is ours). Only voxels
        that a MIP shows are scored, so a pair of maxima of different structures at the same height (a ghost) is not.
        """
        coronal, sagittal = (
            np.mean([one.cam(class_index, projections[view]) for one in scale_outputs], axis=0) for view in VIEWS
        )
        points = np.concatenate([back_projected(projections[view]) for view in VIEWS])
        x, y, z = points.T
        return cls(points, (coronal[x, z] + sagittal[y, z]).astype(np.float64), voxel_spacing(projections))

    def findings(self) -> list[Finding]:
        """The strongest points of the 3D map, best first."""
        return modes(self.voxels, self.scores, self.spacing)

    def share_near(self, centre: Array, radius_mm: float) -> float:
        """Share of the weight, exp(score), that lies within a radius of a fractional voxel."""
        weight = self._weight
        near = (((self.voxels - centre) * self.spacing) ** 2).sum(axis=1) <= radius_mm**2
        return float(weight[near].sum() / weight.sum())

    @cached_property
    def _weight(self) -> Array:
        weight: Array = np.exp(self.scores - self.scores.max())
        return weight


def voxel_spacing(projections: Mapping[str, Projection]) -> FloatArray:
    """(x, y, z) mm of the volume of two projections."""
    coronal = projections["coronal"]
    return np.array([coronal.spacing[0], coronal.spacing[2], coronal.spacing[1]])


def back_projected(projection: Projection, above: float = 1.0) -> Array:
    """Back-project the MIP's pixels of at least an SUV: (pixel, 3) voxels of the maxima."""
    u, z = np.nonzero(projection.mip >= min(above, float(projection.mip.max())))
    ray = projection.depth[u, z]
    return np.stack([u, ray, z] if projection.view == "coronal" else [ray, u, z], axis=1)


def modes(points: Array, scores: Array, spacing: FloatArray) -> list[Finding]:
    """Cluster scored voxels (n, 3) of a grid with a spacing in mm, strongest first."""
    scores = scores - scores.max()
    counts = scores > NEGLIGIBLE
    points, weight = points[counts].astype(np.float64), np.exp(scores[counts])
    total, mm = weight.sum(), points * spacing
    found: list[Finding] = []
    while len(found) < FINDINGS and weight[best := int(weight.argmax())] > 0:
        mass, x, y, z = _gather(points, mm, weight, best, FINDING_MM)
        found.append(Finding((x / mass, y / mass, z / mass), mass / total))
    return found


@compiled
def _gather(points: Array, mm: Array, weight: Array, best: int, radius_mm: float) -> tuple[float, float, float, float]:
    """Remove the weight of all points within a radius of one; returns its sum and the weighted sum of the points."""
    mass = x = y = z = 0.0
    middle = (mm[best, 0], mm[best, 1], mm[best, 2])
    for i in range(len(weight)):
        square = (mm[i, 0] - middle[0]) ** 2 + (mm[i, 1] - middle[1]) ** 2 + (mm[i, 2] - middle[2]) ** 2
        if square <= radius_mm**2:
            share = weight[i]
            mass, x, y, z = mass + share, x + share * points[i, 0], y + share * points[i, 1], z + share * points[i, 2]
            weight[i] = 0.0
    return mass, x, y, z


def lesion_at(ras: Volume, index: Array) -> Contour | None:
    """Contour of the lesion around a click (fractional voxel of the RAS volume); None when there is none."""
    found = delineated(ras, index, CLICK_SD_MM)
    return None if found is None else found[0]


def overlap(one: Contour, other: Contour) -> bool:
    """Whether two contours of a volume share a voxel."""
    low = np.maximum(one.start, other.start)
    high = np.minimum(np.add(one.start, one.inside.shape), np.add(other.start, other.inside.shape))
    if (low >= high).any():
        return False
    parts = [
        contour.inside[tuple(slice(a - s, b - s) for a, b, s in zip(low, high, contour.start, strict=True))]
        for contour in (one, other)
    ]
    return bool((parts[0] & parts[1]).any())


def select_lesion(ras: Volume, places: Sequence[Finding]) -> tuple[list[Finding], Contour | None]:
    """Select the one finding of the CAMs that is the lesion, and its contour (ours).

    The finding's `share` is combined with the score of its contour. Diffuse uptake such as pneumonia has
    high activation but no sharp edge, unlike a tumour beside it.

    Parameters
    ----------
    ras : (x, y, z) in SUV.
    places : from `findings`, best first.

    Returns
    -------
    the findings, that of the lesion first, and its contour; None when there is no contour at any of them.
    """
    best: tuple[float, Finding, Contour] | None = None
    for place in places:
        if best is not None and place.share < LEAST_SHARE:
            continue
        found = delineated(ras, np.array(place.index), CAM_SD_MM, CAM_REACHES_MM)
        if found is not None:
            contour, score = found
            own = evidence(place.share, score)
            if best is None or own > best[0]:
                best = (own, place, contour)
    if best is None:
        return list(places), None
    _, chosen, contour = best
    return [chosen, *(place for place in places if place is not chosen)], contour


def evidence(share: float, score: float) -> float:
    """What speaks for a finding of the CAMs: log of its share, and its contour score."""
    return float(np.log(max(share, 1e-9)) + SCORE_WEIGHT * score)
