"""Tiny scans with hot ellipsoids, and the ways in which a file may store them."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
from scipy.ndimage import gaussian_filter

from wslpet.core.volume import Volume

# (permutation, flips) of the array axes: every way to store a scan along the body's axes.
STORAGES = [(p, f) for p in permutations(range(3)) for f in product((False, True), repeat=3)]


def stored_as(volume: Volume, permutation: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """The scan with its axes permuted, then flipped; every value keeps its place in the world."""
    array = volume.array.transpose(permutation)
    affine = volume.affine[:, [*permutation, 3]].copy()
    for axis, flip in enumerate(flips):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
            affine[:3, axis] *= -1
            array = np.flip(array, axis)
    return Volume(np.ascontiguousarray(array), affine, volume.unit, volume.name)


def affine_of(spacing=(4.0, 4.0, 4.0), origin=(0.0, 0.0, 0.0), tilt_degrees: float = 0.0) -> np.ndarray:
    """A RAS affine, tilted about x."""
    angle = np.deg2rad(tilt_degrees)
    rotation = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


def positions(volume: Volume) -> np.ndarray:
    """(i, j, k, 3) mm RAS of every voxel."""
    return volume.to_world(np.stack(np.meshgrid(*map(np.arange, volume.shape), indexing="ij"), axis=-1))


def ellipsoid(volume: Volume, centre, radii) -> np.ndarray:
    """(i, j, k) bool: voxels whose centre lies in the ellipsoid, mm RAS."""
    return (((positions(volume) - np.asarray(centre)) / np.asarray(radii)) ** 2).sum(axis=-1) <= 1


def empty(shape=(44, 36, 52), spacing=(4.0, 4.0, 4.0), origin=(0.0, 0.0, 0.0), tilt_degrees: float = 0.0) -> Volume:
    return Volume(np.zeros(shape, np.float32), affine_of(spacing, origin, tilt_degrees), "SUV", "case")


def scan(volume: Volume, blobs, background: float = 1.0, fwhm_mm: float = 6.0, noise: float = 0.03) -> Volume:
    """The geometry filled with a background and blobs (centre, radii, SUV), blurred as a scanner does."""
    array = np.full(volume.shape, background, np.float32)
    for centre, radii, suv in blobs:
        array[ellipsoid(volume, centre, radii)] = suv
    array = gaussian_filter(array, fwhm_mm / 2.355 / np.array(volume.spacing))
    array *= 1 + noise * np.random.default_rng(0).standard_normal(volume.shape, dtype=np.float32)
    return volume.with_array(np.maximum(array, 0).astype(np.float32))


def dice(one: np.ndarray, two: np.ndarray) -> float:
    return 2 * float((one & two).sum()) / max(1, int(one.sum() + two.sum()))
