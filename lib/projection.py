"""Maximum intensity projections that remember where each pixel came from (paper §2, §3.2)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from lib.volume import Volume

VIEWS = ("face", "profile")
# Array axis of a RAS volume that each view looks along: face (coronal) along y, profile (sagittal) along x.
RAY_AXIS = {"face": 1, "profile": 0}
# A MIP pixel at or above this SUV counts as body; fewer such pixels than BODY_PIXELS in a row are noise.
BODY_SUV = 0.4
BODY_PIXELS = 3
BODY_MARGIN_MM = 16.0
SLAB_BYTES = 1 << 20
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, eq=False)
class Projection:
    """One MIP of a RAS volume with its depth map.

    Parameters
    ----------
    view : "face" (u = x) or "profile" (u = y).
    mip : (u, z) float32, the maximum along the ray, in the volume's unit.
    depth : (u, z) int32, the voxel index along the ray where that maximum lies.
    spacing : (u, z, ray) voxel spacing, mm.
    """

    view: str
    mip: np.ndarray
    depth: np.ndarray
    spacing: tuple[float, float, float]

    def lift(self, u: int, z: int) -> tuple[int, int, int]:
        """The voxel (x, y, z) that a MIP pixel came from: a look-up in the depth map."""
        ray = int(self.depth[u, z])
        return (u, ray, z) if self.view == "face" else (ray, u, z)


@dataclass(frozen=True, eq=False)
class Views:
    """Both projections of one RAS volume, and where it lies; iterates over the two.

    Parameters
    ----------
    affine : (4, 4), voxel (x, y, z) → mm RAS.
    name : of the volume.
    """

    face: Projection
    profile: Projection
    affine: np.ndarray
    name: str

    def __iter__(self) -> Iterator[Projection]:
        return iter((self.face, self.profile))

    @property
    def nbytes(self) -> int:
        return sum(projection.mip.nbytes + projection.depth.nbytes for projection in self)


def project(volume: Volume) -> Views:
    """Face and profile MIP of a RAS volume, without resampling it.

    Parameters
    ----------
    volume : array (x, y, z), axes as `Volume.to_ras` orders them.
    """
    return Views(_project(volume, "face"), _project(volume, "profile"), volume.affine, volume.name)


def _project(volume: Volume, view: str) -> Projection:
    ray = RAY_AXIS[view]
    u = 1 - ray
    mip = np.empty((volume.shape[u], volume.shape[2]), dtype=np.float32)
    depth = np.empty(mip.shape, dtype=np.int32)

    def fill(window: tuple[slice, slice]) -> None:
        where = [slice(None)] * 3
        where[u], where[2] = window
        slab = volume.array[tuple(where)]
        index = slab.argmax(axis=ray)
        depth[window] = index
        mip[window] = np.take_along_axis(slab, np.expand_dims(index, ray), axis=ray).squeeze(ray)

    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(fill, _slabs(volume.array, u)))
    return Projection(view, mip, depth, (volume.spacing[u], volume.spacing[2], volume.spacing[ray]))


def _slabs(array: np.ndarray, u: int) -> Iterator[tuple[slice, slice]]:
    """Windows (u, z) of slabs that fit the cache: argmax copies what it works on, and of a whole volume that costs."""
    across = u if abs(array.strides[u]) > abs(array.strides[2]) else 2
    size = array.shape[across]
    step = max(1, SLAB_BYTES * size // array.nbytes)
    for start in range(0, size, step):
        part = slice(start, start + step)
        yield (part, slice(None)) if across == u else (slice(None), part)


@dataclass(frozen=True, eq=False)
class GridImage:
    """A projection on the network's square grid, cropped to the body.

    Grid pixel a along an axis is centred (a + 0.5 + origin) · grid_mm from the outer edge of the first voxel,
    whatever the volume's spacing: `from_voxel` converts.

    Parameters
    ----------
    mip : (u, z) float32, in the volume's unit.
    depth_mm : (u, z) float32, where on the ray the maximum lies, from the middle of the body; 0 outside it.
    origin : first pixel (u, z) of the crop on the uncropped grid.
    spacing : (u, z) voxel spacing of the projection, mm.
    grid_mm : pixel size.
    """

    mip: np.ndarray
    depth_mm: np.ndarray
    origin: tuple[int, int]
    spacing: tuple[float, float]
    grid_mm: float

    def from_voxel(self, index: np.ndarray) -> np.ndarray:
        """Fractional voxel indices (..., 2) along (u, z) → fractional pixels (..., 2)."""
        return (np.asarray(index, dtype=np.float64) + 0.5) * self.spacing / self.grid_mm - 0.5 - self.origin


def to_grid(views: Views, grid_mm: float) -> tuple[GridImage, GridImage]:
    """Resample both projections to square pixels with an antialiased linear filter, and crop to the body.

    The two images have the same z range, so that a row of one is the row of the other.
    """
    channels = [_resample(_with_depth(p), p.spacing[:2], grid_mm) for p in views]
    margin = round(BODY_MARGIN_MM / grid_mm)
    rows = [_body_range(c[0], 1, margin) for c in channels]
    z = slice(min(r.start for r in rows), max(r.stop for r in rows))
    images = []
    for projection, (mip, depth_mm) in zip(views, channels, strict=True):
        u = _body_range(mip, 0, margin)
        origin = (u.start, z.start)
        images.append(GridImage(mip[u, z], depth_mm[u, z], origin, projection.spacing[:2], grid_mm))
    return images[0], images[1]


def _with_depth(projection: Projection) -> np.ndarray:
    # (2, u, z): the MIP, and its depth from the middle of the body in mm
    body = projection.mip >= BODY_SUV
    depth = projection.depth * np.float32(projection.spacing[2])
    middle = np.median(depth[body]) if body.any() else 0.0
    return np.stack([projection.mip, np.where(body, depth - middle, 0.0)]).astype(np.float32)


def _resample(channels: np.ndarray, spacing: tuple[float, float], grid_mm: float) -> np.ndarray:
    # (channel, u, z) → the same on the grid
    u, z = (linear_filter(n, s / grid_mm) for n, s in zip(channels.shape[1:], spacing, strict=True))
    return u @ channels @ z.T


def linear_filter(size: int, scale: float, count: int | None = None) -> np.ndarray:
    """(count, size) weights of an antialiased linear filter, `scale` samples where one was.

    Samples are laid from the outer edge of the first one on; count: round(size · scale), exact to the far edge.
    """
    centres = (np.arange(max(1, round(size * scale)) if count is None else count) + 0.5) / scale - 0.5
    away = np.abs(np.arange(size) - centres[:, None])
    weights = np.clip(1 - away / max(1.0, 1 / scale), 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _body_range(mip: np.ndarray, axis: int, margin: int) -> slice:
    rows = np.flatnonzero((mip >= BODY_SUV).sum(axis=1 - axis) >= BODY_PIXELS)
    if rows.size == 0:
        return slice(0, mip.shape[axis])
    return slice(max(0, int(rows[0]) - margin), min(mip.shape[axis], int(rows[-1]) + 1 + margin))
