"""How a prediction of a person is judged by the expert's mask."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from wslpet.analysis.overlap import STRICT_IOU
from wslpet.core.arrays import Array, BoolArray
from wslpet.data.mip_cohort import MipPerson
from wslpet.study.mips.cohort import EIGHT_NEIGHBOURS, truth_of

WITHIN_MM = 8.0
# Places are local maxima of the map that are this far apart, at most so many.
APART_MM = 16.0
MOST_PLACES = 40


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a system says of a person.

    Parameters
    ----------
    strength : (row, column) of the image; its maximum is the strongest place.
    mask : (row, column); None where a system makes none.
    score : higher is more certainly ill.
    cancer_type : None where a system names none.
    probability : of a lesion; None where a system gives none.
    """

    strength: Array
    mask: BoolArray | None
    score: float
    cancer_type: str | None
    probability: float | None = None


@dataclass(frozen=True)
class Outcome:
    """One judged person; None is what a system does not say, or what has no meaning for a lesion-free person.

    Parameters
    ----------
    ill, cancer_type : of the person.
    lesions : number of lesions (components of the expert's mask, corners touching).
    score, probability : of the prediction.
    strongest_place : whether it lies within `WITHIN_MM` of a lesion.
    dice, iou : of the mask and the expert's, all lesions.
    detected : whether the mask overlaps a lesion, in one pixel at least.
    detected_strictly : whether the centroid of the mask's component at the strongest place (or the one nearest to it)
        lies in a lesion, and `iou` is at least `STRICT_IOU`.
    places : (strength, numbers of the lesions within reach) of each place, strongest first.
    areas : cm² of each lesion.
    overlapped : share of each lesion that the mask covers.
    false_parts : components of the mask that overlap no lesion.
    false_at : (row, column) of the centroid of each of them.
    type_right : whether the cancer type is right.
    strongest : (row, column) of the strongest place, pixels of the image; None where the map is zero everywhere.
    """

    name: str
    ill: bool
    lesions: int
    score: float
    strongest_place: bool | None
    dice: float | None
    places: list[tuple[float, list[int]]]
    type_right: bool | None
    probability: float | None
    cancer_type: str | None = None
    iou: float | None = None
    detected: bool | None = None
    detected_strictly: bool | None = None
    areas: list[float] | None = None
    overlapped: list[float] | None = None
    false_parts: int | None = None
    false_at: list[tuple[int, int]] | None = None
    strongest: tuple[int, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; `Outcome(**row)` is the inverse."""
        return asdict(self)


def judge(person: MipPerson, prediction: Prediction, smallest_mm2: float = 0.0) -> Outcome:
    """Compare a prediction with the expert's mask.

    Parameters
    ----------
    smallest_mm2 : components of the predicted mask below this area are left out, of every system alike.
    """
    truth, spacing = truth_of(person), person.image.spacing
    labels, count = ndimage.label(truth, EIGHT_NEIGHBOURS)
    places = _places(prediction.strength, spacing)
    reached = [(strength, _near(labels, place, spacing)) for strength, place in places]
    ill = person.cancer_type is not None
    hit = bool(reached and reached[0][1]) if ill else None
    right = prediction.cancer_type == person.cancer_type if ill and prediction.cancer_type is not None else None
    strongest = places[0][1] if places else None
    extent: dict[str, Any] = {}
    if prediction.mask is not None:
        mask = without_specks(prediction.mask, spacing, smallest_mm2)
        extent = _extent(mask, labels, count, strongest, ill)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:] * spacing[0] * spacing[1] / 100
    return Outcome(
        person.name,
        ill,
        count,
        float(prediction.score),
        hit,
        extent.pop("dice", None),
        reached,
        right,
        prediction.probability,
        person.cancer_type,
        areas=[round(float(size), 3) for size in sizes],
        strongest=strongest,
        **extent,
    )


def without_specks(mask: BoolArray, spacing: tuple[float, float], smallest_mm2: float) -> BoolArray:
    """A mask (row, column) without its components below an area."""
    labels, _ = ndimage.label(mask, EIGHT_NEIGHBOURS)
    kept = np.bincount(labels.ravel()) * spacing[0] * spacing[1] >= smallest_mm2
    kept[0] = False
    return np.asarray(kept[labels])


def _extent(mask: BoolArray, labels: Array, count: int, strongest: tuple[int, int] | None, ill: bool) -> dict[str, Any]:
    """What a mask says of the lesions, numbered in `labels`."""
    truth = labels > 0
    parts, number = ndimage.label(mask, EIGHT_NEIGHBOURS)
    false = sorted(set(range(1, number + 1)) - set(parts[truth].tolist()))
    centroids = np.rint(ndimage.center_of_mass(mask, parts, false)).astype(int).reshape(-1, 2).tolist()
    wrong = {"false_parts": len(false), "false_at": [(row, column) for row, column in centroids]}
    if not ill:
        return wrong
    both, total = int((mask & truth).sum()), int(mask.sum()) + int(truth.sum())
    iou = both / (total - both)
    centred = strongest is not None and _centred(parts, number, strongest, truth)
    covered = ndimage.mean(mask, labels, range(1, count + 1))
    return {
        "dice": 2 * both / total,
        "iou": iou,
        "detected": both > 0,
        "detected_strictly": bool(centred and iou >= STRICT_IOU),
        "overlapped": [round(float(share), 3) for share in covered],
        **wrong,
    }


def _centred(parts: Array, number: int, strongest: tuple[int, int], truth: BoolArray) -> bool:
    """Whether the centroid of the component at the strongest place, or nearest to it, lies in the truth."""
    if not number:
        return False
    part = parts[strongest]
    if not part:
        pixels = np.argwhere(parts > 0)
        part = parts[tuple(pixels[((pixels - strongest) ** 2).sum(axis=1).argmin()])]
    row, column = np.rint(ndimage.center_of_mass(parts == part)).astype(int)
    return bool(truth[row, column])


def _places(strength: Array, spacing: tuple[float, float]) -> list[tuple[float, tuple[int, int]]]:
    size = [2 * int(APART_MM / s / 2) + 1 for s in spacing]
    peaks = (strength == ndimage.maximum_filter(strength, size=size)) & (strength > 0)
    labels, _ = ndimage.label(peaks, EIGHT_NEIGHBOURS)  # a plateau is one place
    numbers, first = np.unique(labels, return_index=True)
    corners = np.stack(np.unravel_index(first[numbers > 0], labels.shape), axis=1)
    found = [(int(row), int(column)) for row, column in corners]
    found.sort(key=lambda place: -float(strength[place]))
    return [(float(strength[place]), place) for place in found[:MOST_PLACES]]


def _near(labels: Array, place: tuple[int, int], spacing: tuple[float, float]) -> list[int]:
    reach = [int(WITHIN_MM / s) + 1 for s in spacing]
    window = tuple(slice(max(0, p - r), p + r + 1) for p, r in zip(place, reach, strict=True))
    offsets = np.ogrid[tuple(slice(0, n) for n in labels[window].shape)]
    away = sum(((o + w.start - p) * s) ** 2 for o, w, p, s in zip(offsets, window, place, spacing, strict=True))
    return sorted(set(labels[window][away <= WITHIN_MM**2].tolist()) - {0})
