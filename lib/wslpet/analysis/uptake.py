"""Uptake of a lesion: volume (MTV), SUVmax, SUVpeak, SUVmean and TLG, with their IBSI names."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage
from scipy.ndimage import gaussian_filter

from wslpet.core.arrays import Array, BoolArray, FloatArray
from wslpet.core.jit import compiled
from wslpet.core.volume import Volume

# SUVpeak is the mean in a sphere of 1 ml (IBSI 0F91, global intensity peak; PERCIST).
PEAK_RADIUS_MM = (3 * 1000.0 / (4 * np.pi)) ** (1 / 3)


def measure(volume: Volume, inside: BoolArray) -> dict[str, float]:
    """Measure the uptake of one lesion.

    Parameters
    ----------
    volume : (x, y, z) in SUV.
    inside : (x, y, z) bool, at least one voxel set.

    Returns
    -------
    volume_ml : voxels × voxel volume (IBSI YEKZ, in ml).
    suv_max (IBSI 84IY), suv_mean (IBSI Q4LE) : in SUV.
    suv_peak : highest mean in a 1 ml sphere centred on a voxel of the lesion (IBSI 0F91, global intensity peak).
    tlg : total lesion glycolysis, volume_ml × suv_mean, in ml.
    """
    values = volume.array[inside]
    volume_ml = float(inside.sum()) * volume.voxel_ml
    mean = float(values.mean(dtype=np.float64))
    return {
        "volume_ml": volume_ml,
        "suv_max": float(values.max()),
        "suv_peak": suv_peak(volume, inside),
        "suv_mean": mean,
        "tlg": volume_ml * mean,
    }


def surroundings(volume: Volume, inside: BoolArray) -> tuple[Volume, Array]:
    """Crop a volume and a lesion (bool) to the lesion's box, with a margin for the SUVpeak sphere."""
    own = ndimage.find_objects(inside.astype(np.uint8))[0]
    margin = [int(np.ceil(PEAK_RADIUS_MM / s)) + 1 for s in volume.spacing]
    window = tuple(
        slice(max(0, i.start - m), min(n, i.stop + m)) for i, m, n in zip(own, margin, volume.shape, strict=True)
    )
    return volume.cropped(window), inside[window]


def central_voxel(inside: BoolArray, spacing: tuple[float, float, float]) -> Array:
    """Index (3,) of the voxel nearest to the centroid of the largest connected component of (i, j, k) bool."""
    return central_voxels(inside, spacing)[0]


def central_voxels(labels: Array, spacing: tuple[float, float, float]) -> list[Array]:
    """Index (3,) of the voxel nearest the centroid of each lesion in (i, j, k) label values, the largest lesion first.

    A lesion is a connected part of one value; voxels that touch at a corner are connected.
    """
    found = []
    for value in np.unique(labels[labels > 0]):
        lesions, _ = ndimage.label(labels == value, np.ones((3, 3, 3)))
        for number, window in enumerate(ndimage.find_objects(lesions), start=1):
            voxels = np.argwhere(lesions[window] == number)
            nearest = voxels[np.linalg.norm((voxels - voxels.mean(axis=0)) * spacing, axis=1).argmin()]
            found.append((len(voxels), nearest + [w.start for w in window]))
    return [voxel for _, voxel in sorted(found, key=lambda one: -one[0])]


def suv_peak(volume: Volume, inside: BoolArray) -> float:
    """Highest mean in a 1 ml sphere centred on one of the lesion's hottest voxels, SUV (IBSI 0F91).

    The sphere is sampled on a lattice of 1.5 mm in patient space, linearly interpolated, so that the result hardly
    depends on voxel size or orientation.

    Parameters
    ----------
    volume : (x, y, z) SUV.
    inside : (x, y, z) bool, the lesion.
    """
    index = np.argwhere(inside)
    # A Gaussian filter with the sphere's variance ranks the centres; the sphere is evaluated at the best hundred.
    spread = PEAK_RADIUS_MM / np.sqrt(5) / np.array(volume.spacing)
    order = np.argsort(gaussian_filter(volume.array, spread, mode="nearest")[inside])[::-1][:100]
    offsets = _sphere() @ np.linalg.inv(volume.affine[:3, :3]).T  # (sample, 3) in voxels
    return float(_highest_mean(np.ascontiguousarray(volume.array, dtype=np.float32), index[order], offsets))


@compiled
def _highest_mean(image: Array, centres: Array, offsets: Array) -> float:
    """Highest mean of the image, over centres (centre, 3), of samples at offsets (sample, 3), linearly interpolated."""
    highest = -np.inf
    for centre in range(len(centres)):
        total = 0.0
        for sample in range(len(offsets)):
            total += _interpolated(
                image,
                centres[centre, 0] + offsets[sample, 0],
                centres[centre, 1] + offsets[sample, 1],
                centres[centre, 2] + offsets[sample, 2],
            )
        highest = max(highest, total / len(offsets))
    return highest


@compiled
def _interpolated(image: Array, x: float, y: float, z: float) -> float:
    """Interpolate linearly at a fractional voxel; outside, the nearest edge value."""
    nx, ny, nz = image.shape
    x, y, z = min(max(x, 0.0), nx - 1.0), min(max(y, 0.0), ny - 1.0), min(max(z, 0.0), nz - 1.0)
    a, b, c = int(x), int(y), int(z)
    total = 0.0
    for i in range(2):
        for j in range(2):
            for k in range(2):
                share = abs(1 - i - (x - a)) * abs(1 - j - (y - b)) * abs(1 - k - (z - c))
                total += share * image[min(a + i, nx - 1), min(b + j, ny - 1), min(c + k, nz - 1)]
    return total


@lru_cache
def _sphere(step_mm: float = 1.5) -> Array:
    ticks = np.arange(-6, 7) * step_mm
    grid = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    offsets: FloatArray = grid[np.linalg.norm(grid, axis=1) <= PEAK_RADIUS_MM]
    return offsets
