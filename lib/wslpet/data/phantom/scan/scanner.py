"""Scanner model: point spread and noise."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from wslpet.core.arrays import Array, FloatArray
from wslpet.data.phantom.body.shapes import Axes

FWHM_PER_SIGMA = 2.3548
LIVER_SUV = 2.2
NOISE_POWER = 0.65


def blur(array: Array, fwhm_mm: float, spacing: FloatArray) -> Array:
    """Gaussian point spread of the given FWHM (mm); the array keeps its shape (x, y, z)."""
    for axis in range(3):
        sigma = fwhm_mm / FWHM_PER_SIGMA / spacing[axis]
        array = gaussian_filter1d(array, sigma, axis=axis, mode="nearest", truncate=3.0)
    return array


def noise(
    activity: Array, axes: Axes, liver_cov: float, fwhm_mm: float, spacing: FloatArray, rng: np.random.Generator
) -> Array:
    """Noise (SUV), (x, y, z), as after reconstruction: correlated over `fwhm_mm`, with an SD ∝ activity^0.65.

    The exponent lies between that of counting statistics (0.5) and that of iterative reconstruction (near 1), as
    measured on the Discovery ST scan STS_001. Attenuation makes the middle of the trunk noisier than limbs and head.

    Parameters
    ----------
    activity : (x, y, z) SUV.
    axes : coordinates of the voxels in mm of the reference body.
    liver_cov : coefficient of variation at a liver SUV of 2.2.
    fwhm_mm : FWHM of the correlation.
    spacing : (3,) voxel size, mm.
    """
    grain = rng.standard_normal(activity.shape, dtype=np.float32)
    grain = blur(grain, fwhm_mm, spacing)
    level = liver_cov * LIVER_SUV ** (1 - NOISE_POWER) / np.prod([_gain(fwhm_mm, s) for s in spacing])
    x, y, z = axes.mesh
    depth = np.exp(-((x / np.float32(120)) ** 2) - (y / np.float32(80)) ** 2)
    trunk = np.float32(0.35 * level) * (1 + np.tanh((680 - z) / np.float32(30)))
    grain *= np.float32(0.6 * level) + depth * trunk
    grain *= np.power(activity, np.float32(NOISE_POWER))
    return grain


def edge_noise(
    shape: tuple[int, ...], spacing: FloatArray, factor: tuple[float, float], liver_cov: float, rng: np.random.Generator
) -> Array:
    """Additional noise (SUV), (x, y, z), of the outermost slices, where the scanner is less sensitive; also in air."""
    z = np.arange(shape[2]) * spacing[2]
    inward = np.minimum(z, z[-1] - z)
    rise = rng.uniform(*factor) - 1
    level = liver_cov * 0.35 * rise * np.exp(-inward / rng.uniform(2.0, 6.0))
    grain: FloatArray = rng.standard_normal(shape, dtype=np.float32)
    return np.asarray(grain * level.astype(np.float32))


def _gain(fwhm_mm: float, spacing: float) -> float:
    """SD of white noise with SD 1 after smoothing along one axis."""
    impulse = np.zeros(129)
    impulse[64] = 1.0
    return float(np.linalg.norm(gaussian_filter1d(impulse, fwhm_mm / FWHM_PER_SIGMA / spacing, truncate=3.0)))
