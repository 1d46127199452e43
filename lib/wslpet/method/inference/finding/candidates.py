"""Candidate lesions: places of the MIPs' maps and of the CAMs, back-projected, delineated and measured (ours)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import logit

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.volume import Volume
from wslpet.method.delineation.contours import Contour, delineated
from wslpet.method.inference.finding.maps import LesionMap
from wslpet.method.inference.localisation import (
    CAM_REACHES_MM,
    CAM_SD_MM,
    FINDING_MM,
    LEAST_SHARE,
    CamPoints,
    Finding,
    evidence,
)

# What a candidate is judged by: log odds of the maps' probability at it, log odds of the CAMs' share near it, and its
# contour score. Volume, SUVmax, contrast with the body, the highest map alone, and whether a MIP shows it at all
# changed no figure on phantoms.
FEATURES = ("map", "cam", "score")
# Back-projected pixels with a lower probability are no candidates, nor are findings of the CAMs with a smaller share
# than this, once there is one. Candidates hold 86 % of the lesions of 40 phantoms with 2 to 12. With the segmenter
# before, from 0.1 on, 7 mm apart and twice as many held 89 % in place of 82 %, but at one false place a patient 78 %
# were found in place of 80 %.
LEAST_MAP = 0.2
SMALLEST_SHARE = 0.01
MOST = 40
# A place of a map is on its lesion, but not always in its middle.
MAP_SD_MM = 6.0
# Pixels this near to a place of the maps are the same place; those this near to a voxel vote for it.
PLACE_MM = 10.0
VOTES_MM = 6.0
SHIFTS = 3
# A place this near to a contour is that contour's.
SAME_MM = 5.0
# A contour is shown by a MIP where it has this share of the MIP's pixel.
SHOWN = 0.98
# Probabilities are kept so far from 0 and 1, so that none alone decides.
FLOOR = 1e-4


@dataclass(frozen=True, eq=False)
class Candidate:
    """A contour that may be a lesion.

    Parameters
    ----------
    index : (x, y, z) fractional voxel of the RAS volume around which it was delineated.
    share : of the CAMs' back-projected weight that lies near it, from 0 to 1.
    features : (len(FEATURES),); "map" is NaN where no map shows the contour.
    primary : whether it is the lesion that the CAMs alone select, see `select_lesion`.
    """

    index: tuple[float, float, float]
    share: float
    contour: Contour
    features: FloatArray
    primary: bool = False


def candidates(
    ras: Volume,
    maps: Sequence[LesionMap],
    cams: CamPoints | None,
    cam_findings: Sequence[Finding],
) -> list[Candidate]:
    """Delineate and measure every candidate; contours may overlap.

    Parameters
    ----------
    ras : (x, y, z) in SUV.
    maps : of MIPs of the volume; may be empty.
    cams : back-projected points of the CAMs with their weights; None where they name no tumour.
    cam_findings : their modes, the strongest first.
    """
    found: list[Candidate] = []

    def take(index: tuple[float, float, float], sd_mm: float) -> None:
        if any(_is_at(ras, one.contour, index) for one in found):
            return
        made = delineated(ras, np.array(index), sd_mm, CAM_REACHES_MM)
        if made is not None:
            contour, score = made
            share = 0.0 if cams is None else cams.share_near(_centroid(contour), FINDING_MM)
            found.append(Candidate(index, share, contour, _features(ras, maps, contour, score, share)))

    for place in cam_findings:
        if place.share >= SMALLEST_SHARE or not found:
            take(place.index, CAM_SD_MM)
    if found:
        best = _primary(found)
        found[best] = replace(found[best], primary=True)
    for index in map_places(maps, np.array(ras.spacing)):
        take(index, MAP_SD_MM)
    return found


def _primary(found: Sequence[Candidate]) -> int:
    """Number of the candidate that the CAMs alone would select, as `select_lesion` does."""
    score = FEATURES.index("score")
    numbers = [n for n, one in enumerate(found) if n == 0 or one.share >= LEAST_SHARE]
    return max(numbers, key=lambda n: evidence(found[n].share, float(found[n].features[score])))


def map_places(maps: Sequence[LesionMap], spacing: FloatArray) -> list[tuple[float, float, float]]:
    """Modes of the back-projected maps, fractional voxels, the most probable first.

    Each pixel's probability is added to the voxel of its maximum. The voxel with the most probability within `VOTES_MM`
    is moved to the weighted mean of the voxels within `PLACE_MM`, in `SHIFTS` steps; both have then been taken.
    """
    parts = [one.back_projected(LEAST_MAP) for one in maps]
    if not any(len(weight) for _, weight in parts):
        return []
    mm = np.concatenate([voxels for voxels, _ in parts]) * spacing
    weight = np.concatenate([own for _, own in parts]).astype(np.float64)
    tree = cKDTree(mm)
    votes = _votes(tree, weight)
    places: list[tuple[float, float, float]] = []
    while len(places) < MOST and votes.max() > 0:
        start = mm[votes.argmax()]
        centre = start
        for _ in range(SHIFTS):
            near = tree.query_ball_point(centre, PLACE_MM)
            centre = weight[near] @ mm[near] / weight[near].sum()
        for taken in (start, centre):
            votes[tree.query_ball_point(taken, PLACE_MM)] = 0
        x, y, z = (centre / spacing).tolist()
        places.append((x, y, z))
    return places


def _votes(tree: cKDTree, weight: FloatArray) -> FloatArray:
    """(point,) sum of the weights within `VOTES_MM` of each point, its own included."""
    one, other = tree.query_pairs(VOTES_MM, output_type="ndarray").T
    votes: FloatArray = weight + np.bincount(one, weight[other], len(weight))
    return votes + np.bincount(other, weight[one], len(weight))


def _features(ras: Volume, maps: Sequence[LesionMap], contour: Contour, score: float, share: float) -> FloatArray:
    voxels = np.argwhere(contour.inside) + contour.start
    values = ras.array[contour.window][contour.inside]
    said = np.array([one.at(voxels, values, SHOWN) for one in maps])
    seen = said[np.isfinite(said)]
    probable = _log_odds(seen).mean() if len(seen) else np.nan
    return np.array([probable, _log_odds(np.array(share)), score])


def _log_odds(probability: Array) -> Array:
    odds: Array = logit(np.clip(probability, FLOOR, 1 - FLOOR))
    return odds


def _centroid(contour: Contour) -> Array:
    centre: Array = np.argwhere(contour.inside).mean(axis=0) + contour.start
    return centre


def _is_at(ras: Volume, contour: Contour, index: tuple[float, float, float]) -> bool:
    """Whether a place lies in a contour or beside it."""
    margin = np.ceil(SAME_MM / np.array(ras.spacing))
    low, high = np.array(contour.start), np.add(contour.start, contour.inside.shape)
    if (index < low - margin).any() or (index > high + margin).any():
        return False
    away = (np.argwhere(contour.inside) + contour.start - index) * ras.spacing
    return bool((away**2).sum(axis=1).min() <= SAME_MM**2)
