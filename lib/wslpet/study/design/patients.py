"""Patients of a study: scans projected for 2D networks and resampled for 3D networks, once, cached on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wslpet.core.arrays import Array, BoolArray
from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.data.cohort_table import Row
from wslpet.io.masks import read_mask
from wslpet.io.readers import read_volume
from wslpet.method.network.inputs import Example, load_example, prepare, save_example
from wslpet.method.projection.mip import BODY_SUV, linear_filter

# Voxels of the 3D networks, mm.
GRID_MM = 4.0
BODY_MARGIN = 4


@dataclass(frozen=True)
class Patient:
    """One patient of a study, loaded lazily from the cache.

    Parameters
    ----------
    row : of the cohort's table.
    kept : folder of its cached projections and grid.
    """

    row: Row
    kept: Path

    @property
    def name(self) -> str:
        """The name in the cohort table."""
        return self.row.name

    @property
    def cancer_type(self) -> str:
        """The annotated type."""
        return self.row.seed.cancer_type

    def example(self) -> Example:
        """Both MIPs with the seed."""
        return load_example(self.kept / "example.npz")

    def grid(self) -> Grid:
        """The body on the grid of the 3D networks, with the expert's mask."""
        with np.load(self.kept / "grid.npz") as file:
            return Grid(file["suv"], file["truth"], tuple(file["origin"].tolist()))

    def volume(self) -> Volume:
        """The scan in SUV, as stored."""
        return read_volume(self.row.scan)

    def truth(self, volume: Volume) -> Array:
        """(i, j, k) bool: the expert's mask on the scan's grid."""
        return _truth(self.row, volume)


@dataclass(frozen=True, eq=False)
class Grid:
    """The body, resampled to `GRID_MM` isotropic voxels along right, anterior, superior.

    Parameters
    ----------
    suv : (x, y, z) float16.
    truth : (x, y, z) bool.
    origin : first voxel of the crop, of the whole volume's grid.
    """

    suv: Array
    truth: BoolArray
    origin: tuple[int, int, int]

    @classmethod
    def from_volume(cls, ras: Volume, truth: BoolArray) -> Grid:
        """From a RAS volume and the mask (x, y, z) of it."""
        suv, share = (_resampled(array, ras.spacing) for array in (ras.array, truth.astype(np.float32)))
        body = [np.flatnonzero((suv >= BODY_SUV).any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        window = tuple(
            slice(max(0, int(rows[0]) - BODY_MARGIN), int(rows[-1]) + 1 + BODY_MARGIN) if rows.size else slice(0, n)
            for rows, n in zip(body, suv.shape, strict=True)
        )
        origin = tuple(w.start for w in window)
        return cls(suv[window].astype(np.float16), share[window] >= 0.5, origin)  # type: ignore[arg-type]

    def to_volume(self, values: Array, ras: Volume) -> Array:
        """Interpolate values (x, y, z) of the grid linearly at the RAS volume's voxels; 0 outside the body."""
        whole = [max(1, round(n * s / GRID_MM)) for n, s in zip(ras.shape, ras.spacing, strict=True)]
        filters = [linear_filter(n, GRID_MM / s, m) for n, s, m in zip(whole, ras.spacing, ras.shape, strict=True)]
        parts = [f[:, o : o + n] for f, o, n in zip(filters, self.origin, values.shape, strict=True)]
        return _along_axes(values.astype(np.float32), parts)


def _resampled(array: Array, spacing: tuple[float, float, float]) -> Array:
    filters = [linear_filter(n, s / GRID_MM) for n, s in zip(array.shape, spacing, strict=True)]
    return _along_axes(array.astype(np.float32, copy=False), filters)


def _along_axes(array: Array, filters: Sequence[Array]) -> Array:
    for axis, weights in enumerate(filters):
        array = np.moveaxis(np.tensordot(weights, array, (1, axis)), 0, axis)
    return array


def kept_patient(row: Row, folder: Path, settings: Settings) -> Patient:
    """Load a row's patient from the cache, or read its scan and mask and cache what the systems need.

    Raises
    ------
    InputError
        when there is no tumour, or the scan or the mask is missing, damaged or empty, or the seed lies outside.
    """
    if row.seed.cancer_type == NO_TUMOUR:
        raise InputError('a patient with "no tumour" has no part in a study of tumours; leave the row out')
    if row.mask is None:
        raise InputError("no mask; systems are held against an expert's outline: give one, or leave the row out")
    patient = Patient(row, folder / _key(row, settings))
    if not (patient.kept / "grid.npz").exists():
        volume = patient.volume()
        ras = volume.to_ras()
        truth = volume.with_array(patient.truth(volume).astype(np.uint8), "label").to_ras().array > 0
        save_example(prepare(volume, row.seed, settings), patient.kept / "example.npz")
        grid = Grid.from_volume(ras, truth)
        temporary = patient.kept / f".grid.{os.getpid()}.npz"
        np.savez(temporary, suv=grid.suv, truth=grid.truth, origin=np.array(grid.origin))
        os.replace(temporary, patient.kept / "grid.npz")
    return patient


def _truth(row: Row, volume: Volume) -> Array:
    if row.mask is None:
        raise InputError(f"{row.name} has no mask")
    mask = read_mask(row.mask, volume)
    if mask.shape != volume.shape or not np.allclose(mask.affine, volume.affine, atol=1e-3):
        from wslpet.core.volume import resample_labels

        mask = resample_labels(mask, volume)
    inside = mask.array > 0
    if not inside.any():
        raise InputError(f"mask {row.mask.name} has nothing on the scan; outline the tumour, or leave the row out")
    return inside


def _key(row: Row, settings: Settings) -> str:
    """Cache key: changes with the scan, the mask, the seed or the grids."""
    assert row.mask is not None
    if not row.mask.exists():
        raise InputError(f"mask {row.mask} does not exist; correct the path, which is relative to the table")
    files = [f"{path.resolve()}|{path.stat().st_size}|{path.stat().st_mtime_ns}" for path in (row.scan, row.mask)]
    grids = f"{settings.grid_mm}|{settings.classes}|{GRID_MM}"
    digest = hashlib.sha256("|".join([*files, str(row.seed.position), row.seed.cancer_type, grids]).encode())
    return digest.hexdigest()[:20]
