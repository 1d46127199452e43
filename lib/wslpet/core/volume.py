"""Volumes: a 3D array with its affine."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from nibabel.affines import apply_affine
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from scipy import ndimage

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.errors import GeometryError

# Spacings outside this range (mm) are header errors, not scanners.
SPACING_RANGE_MM = (0.05, 50.0)
# Two grids whose affines agree to this are one: headers round.
SAME_GRID_MM = 0.01


@lru_cache(maxsize=64)
def _inverse(affine: bytes) -> FloatArray:
    """Of an affine (4, 4) in memory, float64; to invert one takes half a millisecond."""
    inverse: FloatArray = np.linalg.inv(np.frombuffer(affine).reshape(4, 4))
    return inverse


class VoxelGrid:
    """A grid of voxels in patient space: `affine` (4, 4), voxel index → mm RAS, and `shape`."""

    affine: FloatArray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each axis."""
        raise NotImplementedError

    def to_world(self, index: Array) -> FloatArray:
        """Voxel indices (..., 3), fractional allowed → positions (..., 3) in mm RAS."""
        position: FloatArray = apply_affine(self.affine, np.asarray(index, dtype=np.float64))
        return position

    def to_index(self, position: Array) -> FloatArray:
        """Positions (..., 3) in mm RAS → fractional voxel indices (..., 3)."""
        index: FloatArray = apply_affine(_inverse(self.affine.tobytes()), np.asarray(position, dtype=np.float64))
        return index

    def contains(self, index: Array) -> bool:
        """Whether the (fractional) index lies inside the grid, half a voxel of border included."""
        index = np.asarray(index, dtype=np.float64)
        return bool(np.isfinite(index).all() and (index >= -0.5).all() and (index <= np.array(self.shape) - 0.5).all())


@dataclass(frozen=True, eq=False)
class Volume(VoxelGrid):
    """A 3D image and the map from its voxel indices to patient space.

    Parameters
    ----------
    array : (i, j, k) array. PET volumes are float32; masks are uint8 label values.
    affine : (4, 4) array, voxel index → mm in RAS (+x right, +y anterior, +z superior), as NIfTI has it.
    unit : of the voxel values: "SUV" or "label".
    name : of the volume, for errors.
    forms : qform and sform of the NIfTI file that it was read from (`nifti_forms.forms_of`), so that its mask can
        have the same; empty for none.

    Raises
    ------
    GeometryError
        when the array is not 3D or empty, or the affine is singular, not finite, or has a spacing
        outside `SPACING_RANGE_MM`.
    """

    array: Array
    affine: FloatArray
    unit: str = "SUV"
    name: str = "volume"
    forms: bytes = field(default=b"", repr=False)
    spacing: tuple[float, float, float] = field(init=False)

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if self.array.ndim != 3 or 0 in self.array.shape:
            raise GeometryError(
                f"{self.name}: shape {self.array.shape} is not a 3D volume; export one static 3D PET scan"
            )
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError(
                f"{self.name}: affine {affine.tolist()} is not a finite 4×4 matrix; re-export with orientation"
            )
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        low, high = SPACING_RANGE_MM
        if (spacing < low).any() or (spacing > high).any():
            raise GeometryError(
                f"{self.name}: voxel spacing {spacing.round(4).tolist()} mm is outside {low}–{high} mm; "
                "re-export the scan with its voxel spacing"
            )
        if abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
            raise GeometryError(
                f"{self.name}: affine is singular (two voxel axes are parallel); re-export the scan with orientation"
            )
        affine.flags.writeable = False
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "spacing", tuple(float(s) for s in spacing))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each axis."""
        return self.array.shape  # type: ignore[return-value]

    @cached_property
    def _to_ras(self) -> FloatArray:
        """Orientation (axis, 2) as in nibabel: the nearest RAS axis of each stored one, and its direction, 1 or -1."""
        orientation: FloatArray = ornt_transform(io_orientation(self.affine), np.array([[0, 1], [1, 1], [2, 1]]))
        return orientation

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in ml."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def with_array(self, array: Array, unit: str | None = None) -> Volume:
        """Volume of the same geometry with another array of the same shape."""
        if array.shape != self.shape:
            raise GeometryError(f"{self.name}: array of shape {array.shape} does not fit geometry {self.shape}")
        return Volume(array, self.affine, unit or self.unit, self.name, self.forms)

    def cropped(self, window: tuple[slice, ...]) -> Volume:
        """Crop to a window of slices with a start and a stop; the array is a view, the affine is shifted."""
        affine = np.array(self.affine)
        affine[:3, 3] = self.to_world(np.array([w.start for w in window]))
        return Volume(self.array[window], affine, self.unit, self.name)

    def to_ras(self) -> Volume:
        """Reorient to the nearest RAS axes by permuting and flipping; the array is a view.

        Nothing is resampled: an oblique volume stays oblique.
        """
        affine = self.affine @ inv_ornt_aff(self._to_ras, self.shape)
        return Volume(self.in_ras(self.array), affine, self.unit, self.name)

    def in_ras(self, array: Array) -> Array:
        """Reorient an array (i, j, k) on this grid to (x, y, z) on that of `to_ras`; a view."""
        reoriented: Array = apply_orientation(array, self._to_ras)
        return reoriented

    def from_ras(self, array: Array) -> Array:
        """Inverse of `in_ras`: an array (x, y, z) on the grid of `to_ras` → (i, j, k); a copy."""
        stored = np.empty(self.shape, dtype=array.dtype, order="F")
        self.in_ras(stored)[...] = array
        return stored


def resample_labels(mask: Volume, grid: Volume) -> Volume:
    """Resample a mask onto another grid by nearest neighbour; zero outside the mask.

    Parameters
    ----------
    mask : (i, j, k) label values, any integer type.
    grid : whose shape and affine the result has; its array is not looked at.
    """
    if mask.shape == grid.shape and np.allclose(mask.affine, grid.affine, atol=SAME_GRID_MM):
        return grid.with_array(mask.array, mask.unit)
    labels = np.zeros(grid.shape, mask.array.dtype)
    window = _window(mask, grid)
    if 0 not in labels[window].shape:
        part = grid.cropped(window)
        back = np.linalg.inv(mask.affine) @ part.affine  # index there → index here
        labels[window] = ndimage.affine_transform(
            mask.array, back[:3, :3], back[:3, 3], part.shape, order=0, mode="grid-constant", cval=0
        )
    return grid.with_array(labels, mask.unit)


def _window(mask: Volume, grid: Volume) -> tuple[slice, ...]:
    """The part of the grid that a mask reaches into."""
    corners = np.stack(np.meshgrid(*((-0.5, n - 0.5) for n in mask.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    reached = grid.to_index(mask.to_world(corners))
    low = np.clip(np.floor(reached.min(axis=0)).astype(int), 0, grid.shape)
    high = np.clip(np.ceil(reached.max(axis=0)).astype(int) + 1, 0, grid.shape)
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True))
