"""What clicks teach: guarded contours, and where the truth is not known (ours).

A click says where one lesion is, not that there is no other. Its contour is a lesion, as far as it exceeds normal
uptake; what is normal by the atlas is none; other uptake above the atlas is not known, and nothing is learned there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from wslpet.core.arrays import Array, BoolArray, FloatArray
from wslpet.method.normal.frame import GRID_MM

# What is this close to a contour and reaches this share of its lowest value may be the same lesion.
AROUND_MM, BESIDE = 20.0, 0.9
# Four of ten pixels of real lesions lie below the atlas's upper quantile, one of ten below this share of the lower one.
# Organs whose lower quantile is as hot as this, such as heart and bladder, are normal all the same.
SUSPECT, HOT_SUV = 0.7, 4.0
# The guard does not take the click itself away.
AT_CLICK_MM = 4.0


@dataclass(frozen=True)
class ClickContour:
    """How a click becomes a contour; the values were chosen on two of five parts of 122 patients.

    Parameters
    ----------
    contrast : share of the way from the background to the local maximum at which the contour lies. A share of the
        maximum alone is too low where the background is warm: Dice 0.67 instead of 0.74 of 67 other patients' lesions.
    background_percent : percentile of the SUV around the click that is the background.
    ring_mm : the background is that between these distances of the maximum.
    climb_mm : the maximum is the highest pixel within this distance of the click.
    radius_mm : farthest pixel of a contour.
    guard : share of the atlas's lower quantile that a contour exceeds; None guards nothing.
    """

    contrast: float = 0.4
    background_percent: float = 25.0
    ring_mm: tuple[float, float] = (24.0, 40.0)
    climb_mm: float = 8.0
    radius_mm: float = 120.0
    guard: float | None = 0.75


def click_contour(image: Array, usual: Array, click: Array, config: ClickContour) -> BoolArray:
    """The lesion at a click.

    Parameters
    ----------
    image : (row, column) SUV on the frame's grid.
    usual : (row, column) lower quantile of normal uptake.
    click : fractional pixel (row, column).
    """
    values = np.nan_to_num(image).astype(np.float32)
    reach = int(config.radius_mm / GRID_MM)
    centre = np.clip(np.rint(click).astype(int), 0, np.array(values.shape) - 1)
    window = tuple(slice(max(0, c - reach), c + reach + 1) for c in centre)
    local, middle = values[window], centre - [s.start for s in window]
    yy, xx = np.ogrid[: local.shape[0], : local.shape[1]]
    away_mm = np.hypot(yy - middle[0], xx - middle[1]) * GRID_MM
    smooth = ndimage.gaussian_filter(local, 1)
    peak = np.unravel_index(np.where(away_mm <= config.climb_mm, smooth, -1).argmax(), local.shape)
    inside = (local >= _level(local, away_mm, float(smooth[peak]), config)) & (away_mm <= config.radius_mm)
    if config.guard is not None:
        inside &= (local > config.guard * usual[window]) | (away_mm <= AT_CLICK_MM)
    labels, _ = ndimage.label(inside)
    mask = np.zeros(values.shape, dtype=bool)
    if labels[peak]:
        mask[window] = ndimage.binary_fill_holes(labels == labels[peak])
    return mask


def _level(local: FloatArray, away_mm: FloatArray, peak: float, config: ClickContour) -> float:
    """SUV at which the contour lies."""
    near, far = config.ring_mm
    ring = local[(away_mm > near) & (away_mm <= far)]
    background = min(float(np.percentile(ring, config.background_percent)), peak) if ring.size else 0.0
    return background + config.contrast * (peak - background)


def unknown(image: Array, usual: Array, highest: Array, contours: Sequence[BoolArray]) -> BoolArray:
    """Pixels (row, column) whose truth clicks do not tell.

    These are in no contour and above the atlas's upper quantile, or above a share of its lower one where that is no hot
    organ; or close to a contour and as bright, where the guard
    cut it off: a third of the pixels of real lesions do not exceed the atlas's lower quantile.

    Parameters
    ----------
    contours : of each click.
    """
    values = np.nan_to_num(image)
    result = (values > highest) | ((values > SUSPECT * usual) & (usual < HOT_SUV))
    lesions = np.zeros(values.shape, dtype=bool)
    for contour in contours:
        lesions |= contour
        if contour.any():
            around = ndimage.binary_dilation(contour, iterations=int(AROUND_MM / GRID_MM))
            result |= around & (values >= BESIDE * values[contour].min())
    result &= ~lesions
    return result
