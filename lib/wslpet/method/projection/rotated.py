"""Maximum intensity projections (MIPs) along rays that are rotated about the body's axis."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from wslpet.core.arrays import Array
from wslpet.core.jit import compiled
from wslpet.core.limits import CORES
from wslpet.core.volume import Volume

# Planes are projected together: the innermost loop compares neighbours in memory, 4 times as fast as one by one.
PLANES = 32


@dataclass(frozen=True, eq=False)
class RotatedMip:
    """A MIP of a RAS volume along a ray rotated about z.

    Parameters
    ----------
    degrees : of the rotation: 0° is the coronal view, 90° the sagittal view.
    mip : (u, z) float32, in the volume's unit; 0 where the ray meets no positive voxel.
    column : (u, z, 2) int32, the voxel (x, y) that each pixel came from.
    bins : (x, y) int32, the pixel u that each column of voxels belongs to.
    spacing : of u and z, mm.
    """

    degrees: float
    mip: Array
    column: Array
    bins: Array
    spacing: tuple[float, float]


def rotated_mips(volume: Volume, angles: Sequence[float]) -> list[RotatedMip]:
    """MIPs along several rays in one pass over the volume.

    u runs along (cos, sin) of the angle in (x, y), in pixels of the larger of the two spacings, so that no pixel
    between two voxels stays empty. Its middle is the outer edge of voxel (shape // 2). Each voxel belongs to the pixel
    that its centre is in: a pixel is the value of one voxel.

    Parameters
    ----------
    volume : array (x, y, z), axes as `Volume.to_ras` orders them.
    angles : degrees.
    """
    (nx, ny, nz), (sx, sy, sz) = volume.shape, volume.spacing
    pixel = max(sx, sy)
    half = int(np.ceil(np.hypot((nx + 1) * sx, (ny + 1) * sy) / pixel / 2))
    x, y = (np.arange(nx) + 0.5 - nx // 2) * sx, (np.arange(ny) + 0.5 - ny // 2) * sy
    turned = [np.cos(np.deg2rad(a)) * x[:, None] + np.sin(np.deg2rad(a)) * y for a in angles]
    # Rounding keeps centres that lie on an edge, up to float error, in one pixel.
    bins = np.stack([np.floor(np.round(t / pixel, 6)) + half for t in turned]).astype(np.int32)
    mip = np.zeros((len(angles), nz, 2 * half), dtype=np.float32)
    column = np.zeros((len(angles), nz, 2 * half), dtype=np.int32)
    planes = volume.array.transpose(2, 1, 0)
    table = np.ascontiguousarray(bins.transpose(0, 2, 1))

    def take(part: slice) -> None:
        slab = np.ascontiguousarray(planes[part], dtype=np.float32)
        _project(slab, table, mip[:, part], column[:, part])

    edges = np.linspace(0, nz, CORES + 1).astype(int).tolist()
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(take, map(slice, edges[:-1], edges[1:])))
    return [
        RotatedMip(
            float(a),
            np.ascontiguousarray(mip[n].T),
            np.stack([column[n].T % nx, column[n].T // nx], axis=-1),
            bins[n],
            (pixel, sz),
        )
        for n, a in enumerate(angles)
    ]


@compiled
def _project(slab: Array, bins: Array, mip: Array, column: Array) -> None:
    """Take the maxima of a slab (z, y, x): bins (angle, y, x) → mip and column (angle, z, u)."""
    nz, ny, nx = slab.shape
    ray = np.empty((nx, PLANES), np.float32)
    highest = np.empty((bins.shape[0], mip.shape[2], PLANES), np.float32)
    origin = np.empty((bins.shape[0], mip.shape[2], PLANES), np.int32)
    for first in range(0, nz, PLANES):
        planes = min(PLANES, nz - first)
        ray[:], highest[:], origin[:] = 0.0, 0.0, 0
        for y in range(ny):
            for n in range(planes):
                for x in range(nx):
                    ray[x, n] = slab[first + n, y, x]
            for x in range(nx):
                for a in range(bins.shape[0]):
                    u = bins[a, y, x]
                    for n in range(PLANES):
                        higher = ray[x, n] > highest[a, u, n]
                        highest[a, u, n] = ray[x, n] if higher else highest[a, u, n]
                        origin[a, u, n] = y * nx + x if higher else origin[a, u, n]
        for n in range(planes):
            mip[:, first + n] = highest[:, :, n]
            column[:, first + n] = origin[:, :, n]
