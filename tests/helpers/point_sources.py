"""A patient who is one spot, and where a MIP is hot: what tests of where seeds lie share."""

from __future__ import annotations

import numpy as np

from wslpet.method.network.inputs import Example


def hot_pixel(mip: np.ndarray) -> np.ndarray:
    """(u, z) centre of what exceeds 40 % of the maximum; mip (u, z)."""
    above = np.clip(mip - 0.4 * mip.max(), 0, None)
    return np.array([(np.arange(n) * above.sum(axis=1 - a)).sum() / above.sum() for a, n in enumerate(mip.shape)])


def point_source(z: float = 60.0) -> Example:
    """A Gaussian spot 2 pixels wide at the seed, in both views."""
    points = {"coronal": (33.0, z), "sagittal": (12.0, z)}
    images = {}
    for view, u in (("coronal", 50), ("sagittal", 30)):
        grid = np.stack(np.meshgrid(np.arange(u), np.arange(100), indexing="ij"), axis=-1)
        spot = 20 * np.exp(-((grid - np.array(points[view])) ** 2).sum(axis=-1) / 8)
        images[view] = np.stack([spot, np.full_like(spot, 30.0)]).astype(np.float32)
    return Example(images, points, "lung", "case")
