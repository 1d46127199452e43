"""What else outlines a lesion from one click: thresholds, a watershed of the gradient, a random walker.

Each as its authors have it, for a click: the maximum is the local one that is reached from the click. Constants that
the authors calibrate on their own scanner, or do not give, are those that are best on `CHOSEN_ON`, simulated scenes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.segmentation import random_walker, watershed

from wslpet.analysis.overlap import click_threshold, threshold_region
from wslpet.core.volume import Volume

Method = Callable[[Volume, np.ndarray], np.ndarray]

CHOSEN_ON = range(950_000, 950_040)
# Local background: the shell between these distances of the 70 % contour, hot neighbours left out.
SHELL_MM = (12.0, 25.0)
SURELY_LESION = 0.70
PEAK_RADIUS_MM = 6.2  # of a sphere of 1 ml
A41 = 0.41
NESTLE = 0.15
# Weights of the mean in the 70 % contour and of the background.
SCHAEFER = (0.40, 0.70)
# Share of the contrast below which is background for the watershed, and for the random walker; the walker's weight of
# differences, and voxels beyond which a box is thinned out for it.
WATERSHED_BACKGROUND = 0.15
WALKER_BACKGROUND = 0.15
WALKER_BETA = 5000.0
WALKER_VOXELS = 150_000


@dataclass(frozen=True)
class Surroundings:
    """The box around a click, and what adaptive thresholds ask of it.

    Parameters
    ----------
    window : of the box in the volume. box : (i, j, k) SUV. hot : (i, j, k) bool, the 70 % region.
    peak : SUVpeak. mean : of the 70 % region. background : median of the shell around it.
    """

    volume: Volume
    window: tuple[slice, ...]
    box: np.ndarray
    hot: np.ndarray
    peak: float
    mean: float
    background: float

    @classmethod
    def of_click(cls, volume: Volume, position: np.ndarray) -> Surroundings:
        """Measure them."""
        hot, window = threshold_region(volume, position, SURELY_LESION)
        box, spacing = volume.array[window], np.array(volume.spacing)
        top = np.unravel_index(np.where(hot, box, -np.inf).argmax(), box.shape)
        ticks = np.ogrid[tuple(slice(0, n) for n in box.shape)]
        away = np.sqrt(sum(((t - c) * s) ** 2 for t, c, s in zip(ticks, top, spacing, strict=True)))
        peak = float(box[away <= PEAK_RADIUS_MM].mean())
        distance = ndimage.distance_transform_edt(~hot, sampling=spacing)
        shell = (distance > SHELL_MM[0]) & (distance < SHELL_MM[1]) & (box < A41 * peak)
        background = float(np.median(box[shell])) if shell.any() else 0.0
        return cls(volume, window, box, hot, peak, float(box[hot].mean()), background)

    def connected(self, region: np.ndarray) -> np.ndarray:
        """(i, j, k) bool of the volume: the part of a region of the box that holds the maximum."""
        parts, _ = ndimage.label(region | self.hot)
        mask = np.zeros(self.volume.shape, dtype=bool)
        mask[self.window] = (parts > 0) & (parts == parts[self.hot][0])
        return mask

    def markers(self, share: float) -> np.ndarray:
        """1 where surely lesion; 2 where surely not: below a share of the contrast, or hot beyond a valley."""
        markers = np.where(self.box < self.background + share * (self.peak - self.background), 2, 0).astype(np.int32)
        for axis in range(3):
            for end in (0, -1):
                markers[(slice(None),) * axis + (end,)] = 2
        parts, _ = ndimage.label(self.box >= self.box[self.hot].min())
        markers[(parts > 0) & ~self.hot] = 2
        markers[self.hot] = 1
        return markers


def background_corrected_41(volume: Volume, position: np.ndarray) -> np.ndarray:
    """Background + 41 % of (SUVpeak − background): A41 of Boellaard and others (EANM guidelines 2015)."""
    near = Surroundings.of_click(volume, position)
    return near.connected(near.box >= near.background + A41 * (near.peak - near.background))


def nestle(volume: Volume, position: np.ndarray) -> np.ndarray:
    """Background + 15 % of the mean in the 70 % contour (Nestle and others 2005)."""
    near = Surroundings.of_click(volume, position)
    return near.connected(near.box >= near.background + NESTLE * near.mean)


def schaefer(volume: Volume, position: np.ndarray, weights: tuple[float, float] = SCHAEFER) -> np.ndarray:
    """Weighted sum of the mean in the 70 % contour and the background (Schaefer and others 2008), calibrated."""
    near = Surroundings.of_click(volume, position)
    return near.connected(near.box >= weights[0] * near.mean + weights[1] * near.background)


def gradient_watershed(volume: Volume, position: np.ndarray, share: float = WATERSHED_BACKGROUND) -> np.ndarray:
    """Watershed of the gradient, after Geets and others (2007).

    Without their deconvolution: with it (Richardson-Lucy) the Dice on the scenes is 0.50 in place of 0.53, since it
    finds the edge of the object, and readers draw outside it.
    """
    near = Surroundings.of_click(volume, position)
    slope = ndimage.gaussian_gradient_magnitude(near.box, 2.0 / np.array(volume.spacing))
    return near.connected(watershed(slope, near.markers(share)) == 1)


def walked(
    volume: Volume, position: np.ndarray, share: float = WALKER_BACKGROUND, beta: float = WALKER_BETA
) -> np.ndarray:
    """Random walker (Grady 2006) on uptake from seeds by thresholds, as Bağcı and others (2011) use it on PET."""
    near = Surroundings.of_click(volume, position)
    step = max(1, round((near.box.size / WALKER_VOXELS) ** (1 / 3)))
    coarse = tuple([slice(None, None, step)] * 3)
    markers = near.markers(share)[coarse]
    if not all((markers == kind).any() for kind in (0, 1, 2)):
        return near.connected(near.hot)
    labels = random_walker(
        np.clip(near.box[coarse] / near.peak, 0, 1), markers, beta=beta, mode="cg_j", spacing=volume.spacing, tol=1e-3
    )
    fine = np.repeat(np.repeat(np.repeat(labels == 1, step, 0), step, 1), step, 2)
    return near.connected(fine[tuple(slice(0, n) for n in near.box.shape)])


METHODS: dict[str, Method] = {
    "41 %": lambda volume, position: click_threshold(volume, position, 0.41),
    "50 %": lambda volume, position: click_threshold(volume, position, 0.50),
    "SUV 2.5": lambda volume, position: click_threshold(volume, position, suv=2.5),
    "SUV 4.0": lambda volume, position: click_threshold(volume, position, suv=4.0),
    "A41": background_corrected_41,
    "Nestle": nestle,
    "Schaefer": schaefer,
    "gradient watershed": gradient_watershed,
    "random walker": walked,
}
