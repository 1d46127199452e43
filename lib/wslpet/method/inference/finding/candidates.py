"""Candidate lesions: places of the MIPs' maps and of the CAMs, back-projected, delineated and measured (ours)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logit

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.volume import Volume
from wslpet.method.delineation.contours import Contour, delineated
from wslpet.method.inference.finding.maps import LesionMap
from wslpet.method.inference.finding.places import map_places
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
# Findings of the CAMs with a smaller share than this are no candidates, once there is one.
SMALLEST_SHARE = 0.01
# A place of a map is on its lesion, but not always in its middle.
MAP_SD_MM = 6.0
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
    ml : volume of the contour.
    features : (len(FEATURES),); "map" is NaN where no map shows the contour.
    primary : whether it is the lesion that the CAMs alone select, see `select_lesion`.
    """

    index: tuple[float, float, float]
    share: float
    contour: Contour
    ml: float
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
            ml = np.count_nonzero(contour.inside) * ras.voxel_ml
            found.append(Candidate(index, share, contour, ml, _features(ras, maps, contour, score, share)))

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
    reach, start = SAME_MM / np.array(ras.spacing), np.array(contour.start)
    first = np.maximum(np.ceil(index - reach).astype(int) - start, 0)
    last = np.maximum(np.floor(index + reach).astype(int) - start, -1)
    beside = contour.inside[tuple(slice(low, high + 1) for low, high in zip(first, last, strict=True))]
    away = (np.argwhere(beside) + first + start - index) * ras.spacing
    return bool((np.square(away).sum(axis=1) <= SAME_MM**2).any())
