"""Volumes: a 3D array with its affine, the map from voxel indices to mm in RAS."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from nibabel.affines import apply_affine
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from scipy import ndimage

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.errors import GeometryError

# Voxel spacings (mm) outside this range come from a damaged header; no scanner has them.
SPACING_RANGE_MM = (0.05, 50.0)
# Two affines that differ by less than this describe the same grid: headers round their values.
SAME_GRID_MM = 0.01


@lru_cache(maxsize=64)
def _inverse(affine: bytes) -> FloatArray:
    """Inverse of an affine (4, 4), given as the bytes of its float64 array. Cached: an inversion takes 0.5 ms."""
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
        """Positions (..., 3) in mm RAS → voxel indices (..., 3), fractional."""
        index: FloatArray = apply_affine(_inverse(self.affine.tobytes()), np.asarray(position, dtype=np.float64))
        return index

    def contains(self, index: Array) -> bool:
        """Whether an index (3,), which may be fractional, lies in one of the voxels: from -0.5 to shape - 0.5."""
        index = np.asarray(index, dtype=np.float64)
        return bool(np.isfinite(index).all() and (index >= -0.5).all() and (index <= np.array(self.shape) - 0.5).all())


@dataclass(frozen=True, eq=False)
class Volume(VoxelGrid):
    """A 3D image and the map from its voxel indices to patient space.

    Parameters
    ----------
    array : (i, j, k) array. PET volumes are float32; masks are uint8 label values.
    affine : (4, 4) array, voxel index → mm in RAS (+x right, +y anterior, +z superior), as in NIfTI.
    unit : unit of the voxel values: "SUV" or "label".
    name : name of the volume, for error messages.
    forms : qform and sform of the NIfTI file that the volume was read from (`nifti_forms.forms_of`), so that its mask
        can be written with the same ones; empty for other files.
    spacing : voxel size (i, j, k) in mm, computed from the affine.

    Raises
    ------
    GeometryError
        if the array is not 3D or is empty, or the affine is singular, not finite, or has a spacing outside
        `SPACING_RANGE_MM`.
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
        """nibabel's orientation (axis, 2): for each stored axis, the nearest RAS axis and its direction, 1 or -1."""
        orientation: FloatArray = ornt_transform(io_orientation(self.affine), np.array([[0, 1], [1, 1], [2, 1]]))
        return orientation

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in ml."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def with_array(self, array: Array, unit: str | None = None) -> Volume:
        """Volume with the same geometry and another array, which must have the same shape."""
        if array.shape != self.shape:
            raise GeometryError(f"{self.name}: array of shape {array.shape} does not fit geometry {self.shape}")
        return Volume(array, self.affine, unit or self.unit, self.name, self.forms)

    def cropped(self, window: tuple[slice, ...]) -> Volume:
        """Crop to a window of three slices with start and stop. The array is a view; the affine is shifted."""
        affine = np.array(self.affine)
        affine[:3, 3] = self.to_world(np.array([w.start for w in window]))
        return Volume(self.array[window], affine, self.unit, self.name)

    def to_ras(self) -> Volume:
        """Reorient to the nearest RAS axes by permuting and flipping the axes; the array is a view.

        Nothing is resampled, so an oblique volume stays oblique.
        """
        affine = self.affine @ inv_ornt_aff(self._to_ras, self.shape)
        return Volume(self.in_ras(self.array), affine, self.unit, self.name)

    def in_ras(self, array: Array) -> Array:
        """Reorient an array (i, j, k) of this grid to (x, y, z), the axes of `to_ras`; a view."""
        reoriented: Array = apply_orientation(array, self._to_ras)
        return reoriented

    def from_ras(self, array: Array) -> Array:
        """Inverse of `in_ras`: an array (x, y, z) in the axes of `to_ras` → (i, j, k); a copy."""
        stored = np.empty(self.shape, dtype=array.dtype, order="F")
        self.in_ras(stored)[...] = array
        return stored


def resample_labels(mask: Volume, grid: Volume) -> Volume:
    """Resample a mask to another grid by nearest neighbour; voxels outside the mask's grid become 0.

    Parameters
    ----------
    mask : (i, j, k) label values, any integer dtype.
    grid : volume with the shape and affine of the result; its array is not used.
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
    """Slices of the grid's bounding box around a mask's grid."""
    corners = np.stack(np.meshgrid(*((-0.5, n - 0.5) for n in mask.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    reached = grid.to_index(mask.to_world(corners))
    low = np.clip(np.floor(reached.min(axis=0)).astype(int), 0, grid.shape)
    high = np.clip(np.ceil(reached.max(axis=0)).astype(int) + 1, 0, grid.shape)
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True))
