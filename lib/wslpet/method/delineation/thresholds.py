"""The thresholds that readers know, at a click: a share of the maximum, or an SUV."""

from __future__ import annotations

import numpy as np

from wslpet.analysis.overlap import CLIMB_MM, threshold_region
from wslpet.core.arrays import Array
from wslpet.core.errors import InputError
from wslpet.core.volume import Volume
from wslpet.method.delineation.contours import Contour

# Name → share of the local maximum, or SUV.
THRESHOLDS = {
    "41 %": {"fraction": 0.41},
    "50 %": {"fraction": 0.50},
    "SUV 2.5": {"suv": 2.5},
    "SUV 4.0": {"suv": 4.0},
}


def threshold_contour(ras: Volume, index: Array, threshold: str) -> Contour | None:
    """Contour of a click by a threshold: connected, and nothing but the threshold bounds it (within ± 80 mm).

    Parameters
    ----------
    ras : (x, y, z) in SUV.
    index : click, fractional voxel of `ras`.
    threshold : one of `THRESHOLDS`. The maximum is the local one near the click, see `threshold_region`.

    Returns
    -------
    the contour, without features; None where there is none within `CLIMB_MM` of the click: the maximum is below the
    SUV, or belongs to something else.

    Raises
    ------
    InputError
        when there is no such threshold.
    """
    if threshold not in THRESHOLDS:
        raise InputError(f"threshold {threshold!r} is not known; give one of {', '.join(THRESHOLDS)}")
    region, window = threshold_region(ras, ras.to_world(index), **THRESHOLDS[threshold])
    where = np.argwhere(region)
    start = np.array([w.start for w in window])
    if not len(where) or np.linalg.norm((where + start - index) * ras.spacing, axis=1).min() > CLIMB_MM:
        return None
    low, high = where.min(axis=0), where.max(axis=0) + 1
    inside = region[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    x, y, z = (start + low).tolist()
    return Contour(np.ascontiguousarray(inside), (x, y, z), np.empty(0))
