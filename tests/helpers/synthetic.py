"""Small PET-like scans with one hot ellipsoid, off-centre in every axis, in any orientation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

# Body axes of the scan (right, anterior, superior), mm.
EXTENT = np.array([340.0, 260.0, 540.0])
RADII = np.array([22.0, 18.0, 28.0])
TUMOUR = {"lung": np.array([-75.0, 30.0, 110.0]), "oesophagus": np.array([12.0, -35.0, 55.0])}


@dataclass(frozen=True)
class Scan:
    """A written scan and the truth about it; positions in mm RAS."""

    name: str
    path: Path
    affine: np.ndarray
    shape: tuple[int, int, int]
    cancer_type: str
    centre: np.ndarray

    @property
    def click(self) -> list[int]:
        """The voxel nearest the tumour's centre, as a viewer sends it."""
        return np.round(apply_affine(np.linalg.inv(self.affine), self.centre)).astype(int).tolist()

    def truth(self) -> np.ndarray:
        """(i, j, k) boolean: voxels whose centre lies in the tumour."""
        offset = (_positions(self.shape, self.affine) - self.centre) / RADII
        return (offset**2).sum(axis=-1) <= 1


# Array axes as (body axis, direction), voxel spacing along body axes, where the body's centre lies, tilt in degrees.
ORIENTATIONS = {
    "ras": ("+0 +1 +2", (6, 6, 6), (0, 0, 0), 0),
    "lps": ("-0 -1 +2", (6, 6, 6), (0, 0, 0), 0),
    "permuted": ("+2 -0 +1", (6, 6, 6), (0, 0, 0), 0),
    "anisotropic": ("-0 +1 -2", (4, 5, 9), (0, 0, 0), 0),
    "off_origin": ("+1 -2 -0", (6, 5, 7), (-410, 253, -1180), 0),
    "oblique": ("-0 -1 +2", (6, 6, 6), (30, -20, 500), 8),
}


def write_scan(
    folder: Path, name: str, orientation: str = "ras", cancer_type: str = "lung", shift=(0, 0, 0), extension=".nii.gz"
) -> Scan:
    """Write a scan: body SUV 1, "heart" SUV 4, a tumour SUV 12 at the type's place plus `shift` mm."""
    axes, spacing, origin, tilt = ORIENTATIONS[orientation]
    affine, shape = _geometry(axes, np.array(spacing, float), np.array(origin, float), tilt)
    centre = TUMOUR[cancer_type] + shift
    body = _positions(shape, _geometry(axes, np.array(spacing, float), np.zeros(3), 0)[0])
    to_body = affine @ np.linalg.inv(_geometry(axes, np.array(spacing, float), np.zeros(3), 0)[0])
    array = np.where(((body[..., :2] / (EXTENT[:2] / 2 - 12)) ** 2).sum(-1) < 1, 1.0, 0.02)
    array += 3 * _blob(body, np.array([35, 45, 60]), np.array([30, 30, 35]))
    array += 11 * _blob(body, centre, RADII)
    array *= 1 + 0.05 * np.random.default_rng(len(name)).standard_normal(shape)
    scan = Scan(name, folder / f"{name}{extension}", affine, shape, cancer_type, apply_affine(to_body, centre))
    _write(np.maximum(array, 0).astype(np.float32), affine, scan.path)
    return scan


def _geometry(axes: str, spacing: np.ndarray, origin: np.ndarray, tilt: float):
    """Affine (4, 4) and shape of a grid over `EXTENT`, centred on `origin`."""
    size = np.ceil(EXTENT / spacing).astype(int)
    linear, shape = np.zeros((3, 3)), []
    for column, axis in enumerate(axes.split()):
        body_axis = int(axis[1])
        linear[body_axis, column] = spacing[body_axis] * (1 if axis[0] == "+" else -1)
        shape.append(int(size[body_axis]))
    angle = np.deg2rad(tilt)
    rotation = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ linear
    affine[:3, 3] = origin - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine, tuple(shape)


def _positions(shape, affine) -> np.ndarray:
    return apply_affine(affine, np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1))


def _blob(positions: np.ndarray, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    distance = np.sqrt((((positions - centre) / radii) ** 2).sum(axis=-1))
    return 1 / (1 + np.exp((distance - 1) * 12))


def _write(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    if path.name.endswith((".nii", ".nii.gz")):
        nib.save(nib.Nifti1Image(array, affine), path)
        return
    import SimpleITK as sitk

    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path))
