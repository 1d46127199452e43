"""Two CAMs and their depth maps → points in the volume; a point → a 3D lesion (paper §3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wslpet.analysis.uptake import measure, surroundings
from wslpet.core.arrays import Array, FloatArray
from wslpet.core.jit import compiled
from wslpet.core.volume import Volume
from wslpet.method.delineation.contours import REACHES_MM, Contour, delineated
from wslpet.method.network.cam import Cams
from wslpet.method.projection.mip import VIEWS, GridImage, Projection

# How far a point is from the lesion's centre, SD per axis: a person's click, and the CAMs' own point.
CLICK_SD_MM = 5.0
CAM_SD_MM = 9.0
# What the CAMs point at may be no lesion; a person's click alone is followed into the largest box.
CAM_REACHES_MM = REACHES_MM[:2]
# Lifted points this near the best one are one finding.
FINDING_MM = 24.0
FINDINGS = 3
# A place whose log is this far below the best has no share that counts, nor have a million of them.
NEGLIGIBLE = -30.0
# A finding after the first is looked at when it holds this share of the map; and what one unit of the contour score
# counts against the log of a share. Both were chosen on phantoms.
LEAST_SHARE = 0.05
SCORE_WEIGHT = 0.5


@dataclass(frozen=True)
class Lesion:
    """One lesion with what it measures.

    Parameters
    ----------
    label : value in the mask.
    cancer_type : its name.
    index : centroid, fractional voxel of the volume as stored.
    position : centroid, mm RAS.
    volume_ml, suv_max, suv_peak, suv_mean, tlg : see `wslpet.analysis.uptake.measure`.
    """

    label: int
    cancer_type: str
    index: tuple[float, float, float]
    position: tuple[float, float, float]
    volume_ml: float
    suv_max: float
    suv_peak: float
    suv_mean: float
    tlg: float

    @classmethod
    def of(cls, volume: Volume, contour: Contour, stored: Volume, label: int, cancer_type: str) -> Lesion:
        """Measure a contour of a RAS volume; `stored` is the same scan as it is stored."""
        part, mask = surroundings(volume.cropped(contour.window), contour.inside)
        position = part.to_world(np.argwhere(mask).mean(axis=0))
        index = stored.to_index(position)
        return cls(label, cancer_type, tuple(index.tolist()), tuple(position.tolist()), **measure(part, mask))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "label": self.label,
            "cancer_type": self.cancer_type,
            "centroid": {"index": list(self.index), "position": list(self.position)},
            "volume_ml": self.volume_ml,
            "suv_max": self.suv_max,
            "suv_peak": self.suv_peak,
            "suv_mean": self.suv_mean,
            "tlg": self.tlg,
        }


@dataclass(frozen=True)
class Finding:
    """A place that both CAMs point at.

    Parameters
    ----------
    index : (x, y, z) fractional voxel of the RAS volume.
    share : of the mass of the 3D map of its type.
    """

    index: tuple[float, float, float]
    share: float


@dataclass(frozen=True, eq=False)
class ScaleOutput:
    """A scan as the network saw it on one grid.

    Parameters
    ----------
    images : view → the MIP on the grid.
    cams : of this one patient.
    """

    images: dict[str, GridImage]
    cams: Cams

    def cam(self, class_index: int, projection: Projection) -> FloatArray:
        """(u, z) CAM of a class at every pixel of a projection, linear between the cells."""
        image = self.images[projection.view]
        values: FloatArray = getattr(self.cams, projection.view)[0, class_index].cpu().numpy()
        for axis, n in enumerate(projection.mip.shape):
            pixels = image.from_voxel(np.repeat(np.arange(n)[:, None], 2, axis=1))[:, axis]
            values = _between(values, (pixels + 0.5) * image.grid_mm / self.cams.cell_mm - 0.5, axis)
        return values


def _between(values: FloatArray, cells: FloatArray, axis: int) -> FloatArray:
    """Linearly interpolated at fractional cells along an axis; beyond the ends, what is at the end."""
    cells = np.clip(cells, 0, values.shape[axis] - 1)
    low = np.minimum(cells.astype(int), max(values.shape[axis] - 2, 0))
    high = np.minimum(low + 1, values.shape[axis] - 1)
    share = (cells - low).astype(np.float32)
    share = share[:, None] if axis == 0 else share
    interpolated: FloatArray = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return interpolated


def findings(
    scale_outputs: Sequence[ScaleOutput], class_index: int, projections: dict[str, Projection]
) -> list[Finding]:
    """The strongest places of a patient's 3D map, best first (the combination is ours).

    Every MIP pixel is lifted by its depth map to the voxel it came from and scored there by both CAMs: the
    coronal CAM at its (x, z) plus the sagittal CAM at its (y, z), averaged over the grids. So only voxels that a
    MIP really shows are scored, and a pair of maxima that belong to different things at the same height (a
    ghost) is not.
    """
    coronal, sagittal = (
        np.mean([one.cam(class_index, projections[view]) for one in scale_outputs], axis=0) for view in VIEWS
    )
    points = np.concatenate([back_projected(projections[view]) for view in VIEWS])
    x, y, z = points.T
    scores = (coronal[x, z] + sagittal[y, z]).astype(np.float64)
    spacing = np.array(
        [projections["coronal"].spacing[0], projections["sagittal"].spacing[0], projections["coronal"].spacing[1]]
    )
    return _modes(points, scores, spacing)


def back_projected(projection: Projection, above: float = 1.0) -> Array:
    """(pixel, 3): the voxels that the MIP's pixels at or above an SUV came from."""
    u, z = np.nonzero(projection.mip >= min(above, float(projection.mip.max())))
    ray = projection.depth[u, z]
    return np.stack([u, ray, z] if projection.view == "coronal" else [ray, u, z], axis=1)


def _modes(points: Array, scores: Array, spacing: FloatArray) -> list[Finding]:
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
    """Take the weight of all points within reach of one: the sum, and that of the weighted points."""
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
    """The lesion around a click (fractional voxel of the RAS volume); None where nothing stands out."""
    found = delineated(ras, index, CLICK_SD_MM)
    return None if found is None else found[0]


def select_lesion(ras: Volume, places: Sequence[Finding]) -> tuple[list[Finding], Contour | None]:
    """Which of the findings is the lesion, and its contour (ours).

    The CAMs say where; the contour score says whether what is there has the shape of one thing. Pneumonia draws
    the CAMs and has no edge; the tumour beside it has one.

    Parameters
    ----------
    ras : (x, y, z) in SUV.
    places : from `findings`, best first.

    Returns
    -------
    the findings with the lesion's first, and its contour; None where nothing stands out at any of them.
    """
    tried: list[tuple[float, Finding, Contour]] = []
    for place in places:
        if tried and place.share < LEAST_SHARE:
            continue
        found = delineated(ras, np.array(place.index), CAM_SD_MM, CAM_REACHES_MM)
        if found is not None:
            contour, score = found
            tried.append((np.log(max(place.share, 1e-9)) + SCORE_WEIGHT * score, place, contour))
    if not tried:
        return list(places), None
    _, chosen, contour = max(tried, key=lambda one: one[0])
    return [chosen, *(place for place in places if place is not chosen)], contour
