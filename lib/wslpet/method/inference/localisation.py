"""Localisation: CAMs and depth maps of two MIPs → points in the volume → a 3D lesion (paper §3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wslpet.analysis.uptake import measure, surroundings
from wslpet.core.arrays import Array, FloatArray
from wslpet.core.jit import compiled
from wslpet.core.seeds import DEFAULT_CONTOUR, ContourChoice
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
# Least `share` of a finding after the first: to be the strongest lesion, and to be one at all; and the
# weight of the contour score against the log of the share. All were chosen on phantoms.
LEAST_SHARE = 0.05
LEAST_SHARE_OF_OTHERS = 5e-5
SCORE_WEIGHT = 0.5


@dataclass(frozen=True)
class Lesion:
    """One lesion with its measurements.

    Parameters
    ----------
    number : from 1; its value in `Result.lesion_mask`.
    label : of its cancer type; its value in `Result.mask`.
    cancer_type : its name.
    index : centroid, fractional voxel of the volume as stored.
    position : centroid, mm RAS.
    volume_ml, suv_max, suv_peak, suv_mean, tlg : see `wslpet.analysis.uptake.measure`.
    contour : how its contour was chosen.
    seeds : which of the seeds that were given lie in it, counted from 0; none of a lesion that was found.
    evidence : of a lesion that was found, see `FoundLesion`; None of one that was clicked.
    """

    number: int
    label: int
    cancer_type: str
    index: tuple[float, float, float]
    position: tuple[float, float, float]
    volume_ml: float
    suv_max: float
    suv_peak: float
    suv_mean: float
    tlg: float
    contour: ContourChoice = DEFAULT_CONTOUR
    seeds: tuple[int, ...] = ()
    evidence: float | None = None

    @classmethod
    def from_contour(
        cls,
        volume: Volume,
        contour: Contour,
        stored: Volume,
        label: int,
        cancer_type: str,
        number: int = 1,
        choice: ContourChoice = DEFAULT_CONTOUR,
        seeds: tuple[int, ...] = (),
        evidence: float | None = None,
    ) -> Lesion:
        """Measure the contour of a lesion in a RAS volume; `stored` is the same scan as stored."""
        part, mask = surroundings(volume.cropped(contour.window), contour.inside)
        position = part.to_world(np.argwhere(mask).mean(axis=0))
        index = stored.to_index(position)
        (i, j, k), (x, y, z), uptake = index.tolist(), position.tolist(), measure(part, mask)
        return cls(
            number,
            label,
            cancer_type,
            index=(i, j, k),
            position=(x, y, z),
            volume_ml=uptake["volume_ml"],
            suv_max=uptake["suv_max"],
            suv_peak=uptake["suv_peak"],
            suv_mean=uptake["suv_mean"],
            tlg=uptake["tlg"],
            contour=choice,
            seeds=seeds,
            evidence=evidence,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "number": self.number,
            "label": self.label,
            "cancer_type": self.cancer_type,
            "centroid": {"index": list(self.index), "position": list(self.position)},
            "volume_ml": self.volume_ml,
            "suv_max": self.suv_max,
            "suv_peak": self.suv_peak,
            "suv_mean": self.suv_mean,
            "tlg": self.tlg,
            "contour": self.contour.to_dict(),
            "seeds": list(self.seeds),
            "evidence": self.evidence,
        }


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


def findings(
    scale_outputs: Sequence[ScaleOutput], class_index: int, projections: dict[str, Projection]
) -> list[Finding]:
    """Find the strongest points of a patient's 3D map, best first (the combination of the views is ours).

    Every MIP pixel is back-projected by its depth map to the voxel of its maximum and scored there: the coronal CAM at
    (x, z) plus the sagittal CAM at (y, z), averaged over the scales. Only voxels that a MIP shows are scored, so a
    pair of maxima of different structures at the same height (a ghost) is not.
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
    return modes(points, scores, spacing)


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


@dataclass(frozen=True, eq=False)
class FoundLesion:
    """A finding that is a lesion.

    Parameters
    ----------
    evidence : the finding's `share` times the exponential of its weighted contour score, as a share of the
        strongest finding's, which has 1.
    """

    finding: Finding
    contour: Contour
    evidence: float


def select_lesion(ras: Volume, places: Sequence[Finding]) -> tuple[list[Finding], Contour | None]:
    """Select the finding that is the lesion, and its contour: the first of `select_lesions`.

    Returns
    -------
    the findings, that of the lesion first, and its contour; None when there is no contour at any of them.
    """
    found = select_lesions(ras, places, 1.0)
    if not found:
        return list(places), None
    chosen = found[0].finding
    return [chosen, *(place for place in places if place is not chosen)], found[0].contour


def select_lesions(ras: Volume, places: Sequence[Finding], least_evidence: float) -> list[FoundLesion]:
    """Select the findings that are lesions, and their contours, the strongest first (ours).

    The finding's `share` is combined with the score of its contour. Diffuse uptake such as pneumonia has
    high activation but no sharp edge, unlike a tumour beside it.

    Parameters
    ----------
    ras : (x, y, z) in SUV.
    places : from `findings`, best first.
    least_evidence : the strongest finding stands always, another one with this evidence or more, if its contour
        overlaps none of a stronger one.
    """
    tried: list[tuple[bool, float, Finding, Contour]] = []
    least_share = LEAST_SHARE if least_evidence == 1.0 else LEAST_SHARE_OF_OTHERS
    for place in places:
        if tried and place.share < least_share:
            continue
        found = delineated(ras, np.array(place.index), CAM_SD_MM, CAM_REACHES_MM)
        if found is not None:
            contour, score = found
            evidence = float(np.log(max(place.share, 1e-9)) + SCORE_WEIGHT * score)
            tried.append((not tried or place.share >= LEAST_SHARE, evidence, place, contour))
    tried.sort(key=lambda one: (not one[0], -one[1]))
    lesions: list[FoundLesion] = []
    for _, evidence, place, contour in tried:
        share = float(np.exp(min(evidence - tried[0][1], 0.0)))
        stands = not lesions or share >= least_evidence
        if stands and not any(overlap(contour, other.contour) for other in lesions):
            lesions.append(FoundLesion(place, contour, share))
    return lesions
