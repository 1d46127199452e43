"""What else outlines a lesion from one click: thresholds, a watershed of the gradient, a random walker.

Each as its authors have it, for a click: the seed is the local maximum that is reached from the click.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage
from skimage.segmentation import random_walker, watershed

from wslpet.analysis.overlap import BASELINE_BOX_MM, click_threshold
from wslpet.core.volume import Volume

Method = Callable[[Volume, np.ndarray], np.ndarray]

# Local background: the shell between these distances of the 70 % contour, hot neighbours left out.
SHELL_MM = (12.0, 25.0)
# Share of the local contrast of the contour (Boellaard and others' A41), and of the seeds of the two others.
A41 = 0.41
SURELY_LESION, SURELY_NOT = 0.70, 0.15
PEAK_RADIUS_MM = 6.2  # of a sphere of 1 ml
WALKER_BETA = 130.0
WALKER_VOXELS = 400_000


def _seeded(volume: Volume, position: np.ndarray) -> tuple[tuple[slice, ...], np.ndarray, float, float]:
    """The box around the click, the 70 % region in it (bool), SUVpeak and the local background."""
    hot = click_threshold(volume, position, SURELY_LESION)
    spacing = np.array(volume.spacing)
    centre = np.rint(volume.to_index(position)).astype(int)
    reach = np.ceil(BASELINE_BOX_MM / spacing).astype(int)
    window = tuple(slice(max(c - r, 0), c + r + 1) for c, r in zip(centre, reach, strict=True))
    box, hot = volume.array[window], hot[window]
    top = np.unravel_index(np.where(hot, box, -np.inf).argmax(), box.shape)
    ticks = np.ogrid[tuple(slice(0, n) for n in box.shape)]
    away = np.sqrt(sum(((t - c) * s) ** 2 for t, c, s in zip(ticks, top, spacing, strict=True)))
    peak = float(box[away <= PEAK_RADIUS_MM].mean())
    distance = ndimage.distance_transform_edt(~hot, sampling=spacing)
    shell = (distance > SHELL_MM[0]) & (distance < SHELL_MM[1]) & (box < A41 * peak)
    return window, hot, peak, float(np.median(box[shell])) if shell.any() else 0.0


def contrast_threshold(volume: Volume, position: np.ndarray) -> np.ndarray:
    """Background + 41 % of (SUVpeak − background): A41 of Boellaard and others, connected to the maximum."""
    window, hot, peak, background = _seeded(volume, position)
    return _connected(volume, window, volume.array[window] >= background + A41 * (peak - background), hot)


def gradient_watershed(volume: Volume, position: np.ndarray) -> np.ndarray:
    """Geets and others: where the flood of the gradient from the lesion meets that from the background."""
    window, hot, peak, background = _seeded(volume, position)
    box = volume.array[window]
    markers = _markers(box, hot, peak, background)
    slope = ndimage.gaussian_gradient_magnitude(box, 2.0 / np.array(volume.spacing))
    return _connected(volume, window, watershed(slope, markers) == 1, hot)


def walked(volume: Volume, position: np.ndarray) -> np.ndarray:
    """Grady's random walker, as Bağcı and others and Onoma and others use it on PET."""
    window, hot, peak, background = _seeded(volume, position)
    box = volume.array[window]
    step = max(1, round((box.size / WALKER_VOXELS) ** (1 / 3)))
    coarse = tuple([slice(None, None, step)] * 3)
    markers = _markers(box, hot, peak, background)[coarse]
    if not (markers == 1).any() or not (markers == 2).any() or not (markers == 0).any():
        return _connected(volume, window, hot, hot)
    labels = random_walker(
        np.clip(box[coarse] / peak, 0, 1), markers, beta=WALKER_BETA, mode="cg_j", spacing=volume.spacing, tol=1e-3
    )
    fine = np.repeat(np.repeat(np.repeat(labels == 1, step, 0), step, 1), step, 2)
    return _connected(volume, window, fine[tuple(slice(0, n) for n in box.shape)], hot)


def _markers(box: np.ndarray, hot: np.ndarray, peak: float, background: float) -> np.ndarray:
    """1 where surely lesion, 2 where surely not: the background, and what is hot beyond a valley."""
    low = background + SURELY_NOT * (peak - background)
    markers = np.where(box < low, 2, 0).astype(np.int32)
    for axis in range(3):
        for end in (0, -1):
            markers[(slice(None),) * axis + (end,)] = 2
    parts, _ = ndimage.label(box >= box[hot].min())
    markers[(parts > 0) & ~hot] = 2
    markers[hot] = 1
    return markers


def _connected(volume: Volume, window: tuple[slice, ...], region: np.ndarray, hot: np.ndarray) -> np.ndarray:
    parts, _ = ndimage.label(region | hot)
    mask = np.zeros(volume.shape, dtype=bool)
    mask[window] = (parts > 0) & (parts == parts[hot][0])
    return mask


METHODS: dict[str, Method] = {
    "41 %": lambda volume, position: click_threshold(volume, position, 0.41),
    "50 %": lambda volume, position: click_threshold(volume, position, 0.50),
    "SUV 2.5": lambda volume, position: click_threshold(volume, position, suv=2.5),
    "SUV 4.0": lambda volume, position: click_threshold(volume, position, suv=4.0),
    "contrast": contrast_threshold,
    "gradient watershed": gradient_watershed,
    "random walker": walked,
}
