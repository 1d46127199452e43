"""Agreement of masks with the truth (Dice, HD95, volumes), confidence intervals, and threshold baselines."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import torch
from scipy import ndimage

from wslpet.core.arrays import Array, BoolArray, FloatArray
from wslpet.core.volume import Volume

# The threshold baseline starts at the hottest voxel within this distance of the click, and is limited to a box.
CLIMB_MM = 12.0
BASELINE_BOX_MM = 80.0
# Smallest intersection over union of a mask that counts as detected by the strict criterion.
STRICT_IOU = 0.1


@dataclass(frozen=True)
class Agreement:
    """Agreement of one mask with the truth.

    Parameters
    ----------
    dice : 2·|A∩B| / (|A| + |B|).
    detected : whether mask and truth overlap, in one voxel at least.
    detected_strictly : whether the mask's centroid lies in the truth, and their intersection over union is at least
        `STRICT_IOU`.
    false_positive_ml, false_negative_ml : volume of the mask outside the truth, of the truth outside the mask.
    type_right : whether the cancer type is right; None if none was predicted.
    """

    dice: float
    detected: bool
    detected_strictly: bool
    false_positive_ml: float
    false_negative_ml: float
    type_right: bool | None = None


def agreement(mask: BoolArray, truth: BoolArray, voxel_ml: float, type_right: bool | None = None) -> Agreement:
    """Compare a mask (i, j, k; non-zero is lesion) with the truth (i, j, k) on the same grid."""
    mask, truth = mask > 0, truth > 0
    both = int((mask & truth).sum())
    total = int(mask.sum()) + int(truth.sum())
    return Agreement(
        2 * both / total if total else 1.0,
        both > 0,
        both >= STRICT_IOU * (total - both) and both > 0 and _centroid_inside(mask, truth),
        (int(mask.sum()) - both) * voxel_ml,
        (int(truth.sum()) - both) * voxel_ml,
        type_right,
    )


def _centroid_inside(mask: BoolArray, truth: BoolArray) -> bool:
    """Whether the voxel nearest to the mask's centroid is in the truth."""
    return bool(truth[tuple(np.rint(np.argwhere(mask).mean(axis=0)).astype(int))])


def summary(agreements: Iterable[Agreement], seed: int = 0, draws: int = 2000) -> dict[str, tuple[float, float, float]]:
    """Mean and 95 % confidence interval: quantity → (mean, low, high).

    Wilson's interval of what is true or false, which has a width where all patients agree; bootstrap over patients of
    the others.
    """
    from wslpet.analysis.statistics import bootstrap, wilson  # slow to import

    rows = list(agreements)
    found = {}
    for quantity in fields(Agreement):
        values = [getattr(row, quantity.name) for row in rows]
        if any(value is None for value in values):
            continue
        if all(isinstance(value, bool | np.bool_) for value in values):
            mean = wilson(sum(map(bool, values)), len(values))
        else:
            mean = bootstrap(np.array(values, dtype=np.float64), seed=seed, draws=draws)
        found[quantity.name] = (mean.value, mean.low, mean.high)
    return found


def hd95(mask: BoolArray, truth: BoolArray, spacing: tuple[float, float, float]) -> float:
    """95th percentile of the distances between two surfaces, mm (the larger of the two directions).

    Parameters
    ----------
    mask, truth : (i, j, k), non-zero is lesion.
    spacing : of the voxels, mm.

    Returns
    -------
    distance in mm; infinite if one mask is empty, 0 if both are.
    """
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance  # slow to import

    both = np.stack([mask > 0, truth > 0])
    if not both.any(axis=(1, 2, 3)).all():
        return np.inf if both.any() else 0.0
    window = ndimage.find_objects(both.any(axis=0).astype(np.uint8))[0]
    # A border of zeros, so that the masks have a surface at the edge of the window, too.
    x, y, z = window
    near = np.pad(both[:, x, y, z], ((0, 0), (1, 1), (1, 1), (1, 1)))[:, None, None]
    one, other = (torch.from_numpy(part.astype(np.uint8)) for part in near)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # raised by MONAI's internal calls
        found = compute_hausdorff_distance(one, other, include_background=True, percentile=95, spacing=list(spacing))
    return float(found)


def click_threshold(volume: Volume, position: FloatArray, fraction: float = 0.41, suv: float | None = None) -> Array:
    """Threshold segmentation at a click: (i, j, k) bool of the whole volume; see `threshold_region`."""
    mask = np.zeros(volume.shape, dtype=bool)
    region, window = threshold_region(volume, position, fraction, suv)
    mask[window] = region
    return mask


def threshold_region(
    volume: Volume, position: FloatArray, fraction: float = 0.41, suv: float | None = None
) -> tuple[Array, tuple[slice, ...]]:
    """Threshold segmentation at a click: a share of the local maximum, or an SUV; connected, in a box.

    Parameters
    ----------
    volume : (i, j, k) in SUV.
    position : click, mm RAS.
    suv : level of the contour, in place of the share.

    Returns
    -------
    (i, j, k) bool of the box, and where the box lies in the volume: the voxels at or above `fraction` of the local
    maximum that is reached by climbing from the hottest voxel within `CLIMB_MM` of the click, connected to it, within
    ± `BASELINE_BOX_MM`. No voxel is set if that maximum is below `suv`.
    """
    spacing, point = np.array(volume.spacing), volume.to_index(position)
    reach = np.ceil(BASELINE_BOX_MM / spacing).astype(int)
    centre = np.clip(np.rint(point).astype(int), 0, np.array(volume.shape) - 1)
    low, high = np.maximum(centre - reach, 0), np.minimum(centre + reach + 1, volume.shape)
    window = tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
    box = volume.array[window]
    ticks = np.ogrid[tuple(slice(0, n) for n in box.shape)]
    away = sum(((t - (p - a)) * s) ** 2 for t, p, a, s in zip(ticks, point, low, spacing, strict=True))
    peak = _climb(box, np.unravel_index(np.where(away <= CLIMB_MM**2, box, -np.inf).argmax(), box.shape))
    parts, _ = ndimage.label(box >= (fraction * box[peak] if suv is None else suv))
    return (parts > 0) & (parts == parts[peak]), window


def _climb(box: Array, start: tuple[np.intp, ...]) -> tuple[int, ...]:
    here = tuple(int(i) for i in start)
    while True:
        around = tuple(slice(max(0, i - 1), i + 2) for i in here)
        best = np.unravel_index(box[around].argmax(), box[around].shape)
        there = tuple(int(b) + s.start for b, s in zip(best, around, strict=True))
        if box[there] <= box[here]:
            return here
        here = there
