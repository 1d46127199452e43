"""Plausibility checks: whether the values of an image file can be those of a PET in SUV.

A file has no other information on its unit, and a wrong unit would go unnoticed. A series whose SUV follows from its
DICOM header only has to pass `check_range`. In real scans (whole bodies, crops around a sarcoma or a lung tumour) the
median of the body was between 0.37 and 7.1.
"""

from __future__ import annotations

import numpy as np

from wslpet.core.arrays import Array
from wslpet.core.errors import InputError
from wslpet.core.limits import MAX_SUV
from wslpet.core.volume import Volume

# Accepted median SUV of the body, wider than in any scan. The body is all voxels above a tenth of the 99th percentile.
BODY_MEDIAN = (0.1, 30.0)
_BODY_SHARE = 0.1
# More than this share of voxels below -1 means a CT: air is a third of it. In a PET, only few voxels are below, by
# undershoot of resampling or by noise of a filtered back projection.
_NEGATIVE = -1.0
_NEGATIVE_SHARE = 0.1
# A resampled or scaled mask has its highest value in most voxels that are not 0; a scan has it in one voxel.
_HIGHEST_SHARE = 0.3
_FEWEST_VALUES = 8
# A resampled mask of a small lesion is mostly edge voxels, but its highest value is exactly a label value.
_LABELS = (1.0, 2.0, 3.0)
_AROUND_LABELS = 0.9
# Number of voxels that are sampled, which takes a hundredth of the time. All voxels of a nearly empty image are used.
_SAMPLE = 1 << 16
_FEWEST_POSITIVE = 1 << 10
CONVERT = "convert it to SUVbw first"


def check_range(name: str, low: float, high: float) -> None:
    """Raise InputError if an image with this minimum and maximum is not finite, empty, or above any SUV."""
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"image {name} holds NaN or infinite values; export it again")
    if high <= 0:
        raise InputError(f"image {name} is empty: its maximum is {high:g}; export the PET in SUV")
    if high > MAX_SUV:
        raise InputError(f"image {name}: maximum {high:g} is not SUV (Bq/ml?); {CONVERT}")


def check_values(volume: Volume) -> None:
    """Raise InputError if an image that passed `check_range` is a mask, a CT, or a PET in another unit."""
    values = _sample(volume.array)
    name, below = volume.name, float((values < _NEGATIVE).mean())
    if below > _NEGATIVE_SHARE:
        raise InputError(
            f"image {name}: {below:.0%} of its voxels are below {_NEGATIVE:g}, which no PET in SUV is (a CT in HU?); "
            "give the PET in SUV"
        )
    positive = values[values > 0]
    if np.array_equal(values, np.round(values)):
        highest = float(positive.max(initial=0))
        raise InputError(
            f"image {name} holds whole numbers only, up to {highest:g} (a mask, a CT, or stored values whose slope is "
            "lost?); give the PET in SUV"
        )
    distinct, highest = len(np.unique(values)), float(positive.max())
    share = float((positive >= 0.999 * highest).mean())
    labels = highest in _LABELS and (values == 0).mean() > _AROUND_LABELS
    if distinct < _FEWEST_VALUES or share > _HIGHEST_SHARE or labels:
        raise InputError(
            f"image {name} holds {distinct} values, and {share:.0%} of what is not zero is the highest, {highest:g} "
            "(a mask?); give the PET in SUV"
        )
    _check_unit(name, positive)


def _check_unit(name: str, positive: Array) -> None:
    median = float(np.median(positive[positive > _BODY_SHARE * np.percentile(positive, 99)]))
    low, high = BODY_MEDIAN
    if median > high:
        raise InputError(
            f"image {name}: the median of the body is {median:.4g}, in SUV it is {low:g} to {high:g} (Bq/ml, or a "
            f"CT?); {CONVERT}"
        )
    if median < low:
        raise InputError(
            f"image {name}: the median of the body is {median:.4g}, in SUV it is {low:g} to {high:g} (MBq/ml, or "
            f"normalised?); {CONVERT}"
        )


def _sample(array: Array) -> Array:
    """Sample voxels of the whole image at equal steps. An odd step misses no column of an even grid."""
    flat = array.reshape(-1, order="A")
    sampled = flat[:: max(1, flat.size // _SAMPLE) | 1]
    return sampled if np.count_nonzero(sampled > 0) >= _FEWEST_POSITIVE else flat
