"""Smooth shapes on separable axes: ellipsoids, tubes and low-frequency random fields."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation

from wslpet.core.arrays import Array, FloatArray

Point = tuple[float, float, float] | Array


class Axes:
    """Coordinates (mm) of the voxels of a box along x, y and z, each 1D float32; open-mesh views of them."""

    def __init__(self, x: Array, y: Array, z: Array) -> None:
        self.x = x.astype(np.float32)
        self.y = y.astype(np.float32)
        self.z = z.astype(np.float32)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each axis."""
        return len(self.x), len(self.y), len(self.z)

    @cached_property
    def mesh(self) -> tuple[Array, Array, Array]:
        """Open-mesh views that broadcast to (x, y, z)."""
        return self.x[:, None, None], self.y[None, :, None], self.z[None, None, :]

    def scaled(self, scale: Array) -> Axes:
        """The axes with each coordinate times a factor, (3,)."""
        return Axes(self.x * scale[0], self.y * scale[1], self.z * scale[2])


@dataclass(frozen=True, eq=False)
class Waves:
    """A smooth random field of position, mean 0 and SD 1: a sum of plane waves.

    It is a function of position, so it is the same at every voxel size.
    """

    k: Array
    phase: Array

    @classmethod
    def draw(cls, rng: np.random.Generator, wavelength_mm: float, count: int = 16) -> Waves:
        """Draw `count` plane waves with wavelengths around `wavelength_mm`."""
        direction = rng.normal(size=(count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length = wavelength_mm * rng.uniform(0.7, 1.6, size=(count, 1))
        return cls(2 * np.pi * direction / length, rng.uniform(0, 2 * np.pi, size=count))

    def on(self, axes: Axes) -> Array:
        """Evaluate the field on the axes, (x, y, z) float32, by one matrix product."""
        px = np.exp(1j * (np.outer(self.k[:, 0], axes.x) + self.phase[:, None]))
        py = np.exp(1j * np.outer(self.k[:, 1], axes.y))
        pz = np.exp(1j * np.outer(self.k[:, 2], axes.z))
        xy = (px[:, :, None] * py[:, None, :]).reshape(len(self.k), -1)
        left = np.concatenate([xy.real, xy.imag]).astype(np.float32)
        right = np.concatenate([pz.real, -pz.imag]).astype(np.float32)
        field: FloatArray = (left.T @ right).reshape(axes.shape) * np.float32(np.sqrt(2.0 / len(self.k)))
        return field


def ellipsoid(axes: Axes, centre: Point, radii: Point, rotation: Rotation | None = None) -> Array:
    """Normalised radius, (x, y, z): 1 on the surface of the ellipsoid, 0 in its centre."""
    x, y, z = (a - np.float32(c) for a, c in zip(axes.mesh, centre, strict=True))
    inverse = 1.0 / np.asarray(radii, dtype=np.float64)
    radius: FloatArray
    if rotation is None:
        square = (x * np.float32(inverse[0])) ** 2 + (y * np.float32(inverse[1])) ** 2
        radius = np.sqrt(square + (z * np.float32(inverse[2])) ** 2)
        return radius
    m = (rotation.as_matrix().T * inverse[:, None]).astype(np.float32)
    square = np.zeros(axes.shape, dtype=np.float32)
    for row in m:
        square += (row[0] * x + row[1] * y + row[2] * z) ** 2
    radius = np.sqrt(square)
    return radius


def tube(axes: Axes, points: Array, radii: Array) -> Array:
    """Signed distance (mm, negative inside), (x, y, z), to a chain of tapered capsules through `points` (n, 3)."""
    distance = np.full(axes.shape, 1e3, dtype=np.float32)
    for (a, b), (ra, rb) in zip(pairwise(points), pairwise(radii), strict=True):
        margin = max(ra, rb) + 12.0
        low, high = np.minimum(a, b) - margin, np.maximum(a, b) + margin
        window = tuple(
            slice(int(np.searchsorted(v, lo)), int(np.searchsorted(v, hi)))
            for v, lo, hi in zip((axes.x, axes.y, axes.z), low, high, strict=True)
        )
        part = distance[window]
        if part.size == 0:
            continue
        x, y, z = (v[w] for v, w in zip((axes.x, axes.y, axes.z), window, strict=True))
        sub = Axes(x, y, z)
        along = (b - a).astype(np.float32)
        px, py, pz = (m - np.float32(c) for m, c in zip(sub.mesh, a, strict=True))
        t = (px * along[0] + py * along[1] + pz * along[2]) / np.float32(max(float(along @ along), 1e-6))
        np.clip(t, 0, 1, out=t)
        d = np.sqrt((px - t * along[0]) ** 2 + (py - t * along[1]) ** 2 + (pz - t * along[2]) ** 2)
        d -= np.float32(ra) + t * np.float32(rb - ra)
        np.minimum(part, d, out=part)
    return distance


def smooth_path(points: Array, count: int) -> Array:
    """A Catmull-Rom spline through `points` (n, 3), sampled at `count` positions."""
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    u = np.linspace(0, len(points) - 1 - 1e-9, count)
    i = u.astype(int)
    t = (u - i)[:, None]
    p0, p1, p2, p3 = (padded[i + s] for s in range(4))
    square, cube = 2 * p0 - 5 * p1 + 4 * p2 - p3, 3 * p1 - p0 - 3 * p2 + p3
    path: FloatArray = 0.5 * (2 * p1 + (p2 - p0) * t + square * t**2 + cube * t**3)
    return path
