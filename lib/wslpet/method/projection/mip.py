"""Maximum intensity projections (MIPs) with depth maps (paper §2, §3.2).

The paper calls the two views face (coronal) and profile (sagittal).
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from queue import SimpleQueue
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.volume import Volume, VoxelGrid
from wslpet.method.projection.ray_maxima import Maxima

VIEWS = ("coronal", "sagittal")
# Array axis of a RAS volume along which each view projects: coronal along y, sagittal along x.
RAY_AXIS = {"coronal": 1, "sagittal": 0}
# A MIP pixel at or above this SUV counts as body; fewer such pixels than BODY_PIXELS in a row are noise.
BODY_SUV = 0.4
BODY_PIXELS = 3
BODY_MARGIN_MM = 16.0


@dataclass(frozen=True, eq=False)
class Projection:
    """One MIP of a RAS volume with its depth map.

    Parameters
    ----------
    view : "coronal" (u = x) or "sagittal" (u = y).
    mip : (u, z) float32, the maximum along the ray, in the volume's unit.
    depth : (u, z) int32, the voxel index along the ray where that maximum lies.
    spacing : (u, z, ray) voxel spacing, mm.
    """

    view: str
    mip: Array
    depth: Array
    spacing: tuple[float, float, float]

    def lift(self, u: int, z: int) -> tuple[int, int, int]:
        """Back-project a MIP pixel to its voxel (x, y, z), by a look-up in the depth map."""
        ray = int(self.depth[u, z])
        return (u, ray, z) if self.view == "coronal" else (ray, u, z)


@dataclass(frozen=True, eq=False)
class Views(VoxelGrid):
    """Both projections of one RAS volume, with its affine; iterates over the two.

    Parameters
    ----------
    affine : (4, 4), voxel (x, y, z) → mm RAS.
    name : of the volume.
    """

    coronal: Projection
    sagittal: Projection
    affine: FloatArray
    name: str

    def __iter__(self) -> Iterator[Projection]:
        return iter((self.coronal, self.sagittal))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(x, y, z) of the volume."""
        return (*self.coronal.mip.shape[:1], *self.sagittal.mip.shape)  # type: ignore[return-value]

    @property
    def nbytes(self) -> int:
        """Bytes that both projections take."""
        return sum(projection.mip.nbytes + projection.depth.nbytes for projection in self)


def project(volume: Volume, device: str = "cpu") -> Views:
    """Coronal and sagittal MIP of a RAS volume, without resampling; of equal maxima, the first along the ray counts.

    Parameters
    ----------
    volume : array (x, y, z), axes as `Volume.to_ras` orders them.
    device : "cpu", or torch's name of a GPU, which takes the volume once and gives the same answer.
    """
    if device != "cpu":
        return _views(volume, _maxima_on(device, volume.array))
    maxima = Maxima(volume.array)
    maxima.take()
    return _views(volume, [maxima.along(RAY_AXIS[view]) for view in VIEWS])


class StreamingProjector:
    """Project a volume while its slices are being decoded, in a second thread."""

    def __init__(self) -> None:
        self._slices: SimpleQueue[slice | None] = SimpleQueue()
        self._work: Future[Projected] | None = None

    def begin(self, volume: Volume) -> Callable[[slice], None]:
        """Start with a volume as stored, first axis fastest.

        Returns
        -------
        A callback for the slices (last axis) that have been decoded.
        """
        self._work = Future()
        threading.Thread(target=self._run, args=(volume.to_ras(), self._work), daemon=True).start()
        return self._slices.put

    def end(self) -> Projected | None:
        """Finish after the last slice; None if it was never started. Must be called after an error, too."""
        self._slices.put(None)
        return None if self._work is None else self._work.result()

    def _run(self, ras: Volume, work: Future[Projected]) -> None:
        try:
            maxima = Maxima(ras.array)
            while (part := self._slices.get()) is not None:
                maxima.take(part)
            work.set_result(Projected(_views(ras, [maxima.along(RAY_AXIS[view]) for view in VIEWS]), maxima.range))
        except BaseException as error:
            work.set_exception(error)


@dataclass(frozen=True, eq=False)
class Projected:
    """Result of `StreamingProjector`. range : lowest and highest value, see `ray_maxima.Maxima.range`."""

    views: Views
    range: tuple[float, float]


def _views(volume: Volume, maxima: Sequence[tuple[Array, Array]]) -> Views:
    x, y, z = volume.spacing
    (coronal, coronal_depth), (sagittal, sagittal_depth) = maxima
    return Views(
        Projection("coronal", coronal, coronal_depth, (x, z, y)),
        Projection("sagittal", sagittal, sagittal_depth, (y, z, x)),
        volume.affine,
        volume.name,
    )


def _maxima_on(device: str, array: Array) -> list[tuple[Array, Array]]:
    """Maxima and depths of each view by torch, which has no negative strides: flipped axes are unflipped first."""
    import torch

    flipped = [axis for axis in range(3) if array.strides[axis] < 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the array is read-only, and so used
        tensor = torch.from_numpy(np.flip(array, flipped)).to(device).flip(flipped)
    maxima = (tensor.max(dim=RAY_AXIS[view]) for view in VIEWS)
    return [(mip.cpu().numpy(), depth.to(torch.int32).cpu().numpy()) for mip, depth in maxima]


@dataclass(frozen=True, eq=False)
class GridImage:
    """A projection on the network's square grid, cropped to the body.

    Grid pixel a along an axis is centred (a + 0.5 + origin) · grid_mm from the outer edge of the first voxel,
    whatever the volume's spacing: `from_voxel` converts.

    Parameters
    ----------
    mip : (u, z) float32, in the volume's unit.
    depth_mm : (u, z) float32, position of the maximum along the ray, from the middle of the body; 0 outside it.
    origin : first pixel (u, z) of the crop on the uncropped grid.
    spacing : (u, z) voxel spacing of the projection, mm.
    grid_mm : pixel size.
    """

    mip: Array
    depth_mm: FloatArray
    origin: tuple[int, int]
    spacing: tuple[float, float]
    grid_mm: float

    def from_voxel(self, index: Array) -> Array:
        """Fractional voxel indices (..., 2) along (u, z) → fractional pixels (..., 2)."""
        return (np.asarray(index, dtype=np.float64) + 0.5) * self.spacing / self.grid_mm - 0.5 - self.origin


def to_grid(views: Views, grid_mm: float, each: Callable[..., Iterable[Any]] = map) -> tuple[GridImage, GridImage]:
    """Resample both projections to square pixels with an antialiased linear filter, and crop to the body.

    The two images have the same z range, so that a row of one is the row of the other.

    Parameters
    ----------
    each : `map`, or that of a pool of threads, which has both views at once.
    """
    channels = list(each(lambda p: _resample(_with_depth(p), p.spacing[:2], grid_mm), views))
    margin = round(BODY_MARGIN_MM / grid_mm)
    rows = [_body_range(c[0], 1, margin) for c in channels]
    z = slice(min(r.start for r in rows), max(r.stop for r in rows))
    images = []
    for projection, (mip, depth_mm) in zip(views, channels, strict=True):
        u = _body_range(mip, 0, margin)
        origin = (u.start, z.start)
        images.append(GridImage(mip[u, z], depth_mm[u, z], origin, projection.spacing[:2], grid_mm))
    return images[0], images[1]


def _with_depth(projection: Projection) -> Array:
    # (2, u, z): the MIP, and its depth from the middle of the body in mm
    body = projection.mip >= BODY_SUV
    depth = projection.depth * np.float32(projection.spacing[2])
    middle = np.median(depth[body]) if body.any() else 0.0
    channels: FloatArray = np.stack([projection.mip, np.where(body, depth - middle, 0.0)]).astype(np.float32)
    return channels


def _resample(channels: Array, spacing: tuple[float, float], grid_mm: float) -> Array:
    # (channel, u, z) → the same on the grid
    u, z = (_sparse_filter(n, s / grid_mm) for n, s in zip(channels.shape[1:], spacing, strict=True))
    return np.stack([(z @ (u @ channel).T).T for channel in channels])


@lru_cache(64)
def _sparse_filter(size: int, scale: float) -> csr_array:
    """`linear_filter` as a sparse matrix: most weights are 0."""
    return csr_array(linear_filter(size, scale))


@lru_cache(64)
def linear_filter(size: int, scale: float, count: int | None = None) -> Array:
    """Weights (count, size) of an antialiased linear resampling filter by the factor `scale`; read-only.

    Samples are aligned at the outer edge of the first one; count is round(size · scale), stretched to the far edge.
    """
    centres = (np.arange(max(1, round(size * scale)) if count is None else count) + 0.5) / scale - 0.5
    away = np.abs(np.arange(size) - centres[:, None])
    tent = np.clip(1 - away / max(1.0, 1 / scale), 0, None)
    weights: FloatArray = (tent / tent.sum(axis=1, keepdims=True)).astype(np.float32)
    weights.flags.writeable = False
    return weights


def _body_range(mip: Array, axis: int, margin: int) -> slice:
    rows = np.flatnonzero((mip >= BODY_SUV).sum(axis=1 - axis) >= BODY_PIXELS)
    if rows.size == 0:
        return slice(0, mip.shape[axis])
    return slice(max(0, int(rows[0]) - margin), min(mip.shape[axis], int(rows[-1]) + 1 + margin))
