"""Affine of a NIfTI header: qform or sform, chosen by the rule of ITK (5.3 and newer).

A header may have two maps from voxel to patient, which can differ: after a registration, the sform is that of the other
image, and the qform still that of the scanner. nibabel uses the sform. 3D Slicer, ITK-SNAP and other software built on
ITK use the rule of `affine_of`, and so does this package, so that seeds and masks are where the annotator saw the scan.
See the NIfTI-1 standard, section "3D image (volume) orientation and location in space".
"""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.errors import GeometryError

SCANNER = 1
# Tolerances of ITK: for the orthonormality of the axes, and for the difference of qform and sform.
_ORTHONORMAL = 1e-4
_SIMILAR = 1e-4
# Accepted relative difference between the voxel size of the sform and pixdim, by rounding. ITK uses pixdim, nibabel the
# sform.
_SPACING_SHARE = 0.01
_FORMS = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z"),
)
REMEDY = "write it anew with one orientation, qform and sform alike"


def affine_of(header: Any, name: str) -> Array:
    """Return the affine (4, 4), voxel index → mm RAS, of a NIfTI header.

    The sform is used if its axes are perpendicular and its code is 1 (scanner), there is no qform (code 0), or both are
    equal; otherwise the qform. Voxel sizes are those of pixdim.

    Raises
    ------
    GeometryError
        if there is neither qform nor sform, the one to be used is not valid, or the voxel sizes contradict each other.
    """
    _check_unit(header, name)
    codes = int(header["qform_code"]), int(header["sform_code"])
    if codes == (0, 0):
        raise GeometryError(f"image {name}: no orientation (qform and sform code are 0); re-export it")
    sform = np.asarray(header.get_sform(), dtype=np.float64)
    if codes[1] and _is_orthonormal(sform):
        if codes[0] == 0 or codes[1] == SCANNER or _are_similar(sform, _qform(header, name)):
            return _with_pixdim(sform, header, name)
    elif codes[0] == 0:
        if not _is_degenerate(sform):
            raise GeometryError(
                f"image {name}: its sform (code {codes[1]}) shears, by {_shear_degrees(sform):.2f}°, and it has no "
                "qform (code 0): ITK and 3D Slicer cannot open it; resample it to right angles, or set its qform"
            )
        return sform
    return _qform(header, name)


def other_affine(forms: bytes) -> Array | None:
    """Return the affine (4, 4) that nibabel would use, from the result of `forms_of`; None if there is none."""
    if not forms:
        return None
    try:
        return np.asarray(_header(forms).get_best_affine(), dtype=np.float64)
    except ValueError:
        return None


def disagreement_mm(affine: FloatArray, other: Array, shape: tuple[int, ...]) -> float:
    """Return the largest distance (mm) between the positions that two affines give to a voxel of a grid."""
    corners = np.stack(np.meshgrid(*((0, n - 1) for n in shape), indexing="ij"), axis=-1).reshape(-1, 3)
    return float(np.linalg.norm(apply_affine(affine, corners) - apply_affine(other, corners), axis=1).max())


def forms_of(header: Any) -> bytes:
    """Copy only the orientation of a header into a new NIfTI-1 header: qform, sform, their codes, pixdim; as bytes."""
    kept = nib.Nifti1Header()
    for field in _FORMS:
        kept[field] = header[field]
    kept["pixdim"][:4] = header["pixdim"][:4]
    return bytes(kept.binaryblock)


def with_forms(header: nib.Nifti1Header, forms: bytes) -> None:
    """Set the orientation of a header to that of a result of `forms_of`."""
    kept = _header(forms)
    for field in _FORMS:
        header[field] = kept[field]
    header["pixdim"][:4] = kept["pixdim"][:4]


def _header(forms: bytes) -> nib.Nifti1Header:
    return nib.Nifti1Header(forms, check=False)


def _check_unit(header: Any, name: str) -> None:
    unit = header.get_xyzt_units()[0]
    if unit not in ("unknown", "mm"):
        raise GeometryError(f"image {name}: its voxel sizes are in {unit}, by its header's unit; export it in mm")


def _is_orthonormal(affine: FloatArray) -> bool:
    with np.errstate(divide="ignore", invalid="ignore"):
        axes = affine[:3, :3].astype(np.float32)
        axes = axes / np.linalg.norm(axes, axis=0)
    return bool(np.isfinite(affine).all() and (np.abs(axes @ axes.T - np.eye(3)) <= _ORTHONORMAL).all())


def _is_degenerate(affine: FloatArray) -> bool:
    """Whether an affine is singular or not finite."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(affine).all() and lengths.all()):
        return True
    return bool(abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3)


def _shear_degrees(affine: FloatArray) -> float:
    """Return the largest deviation of two axes from a right angle, degrees."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return float(np.rad2deg(np.arcsin(np.clip(np.abs(axes.T @ axes - np.eye(3)).max(), 0, 1))))


def _are_similar(sform: FloatArray, qform: FloatArray) -> bool:
    return bool(np.allclose(sform, qform, rtol=0, atol=_SIMILAR))


def _qform(header: Any, name: str) -> Array:
    try:
        return np.asarray(header.get_qform(), dtype=np.float64)
    except ValueError as error:  # an invalid quaternion
        raise GeometryError(f"image {name}: its qform cannot be used ({error}); {REMEDY}") from error


def _with_pixdim(sform: FloatArray, header: Any, name: str) -> Array:
    lengths = np.linalg.norm(sform[:3, :3], axis=0)
    pixdim = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))
    if not (np.abs(pixdim - lengths) <= _SPACING_SHARE * lengths).all():
        raise GeometryError(
            f"image {name}: voxels of {lengths.round(4).tolist()} mm by its sform and of {pixdim.round(4).tolist()} mm "
            "by its pixdim; viewers would show it in two sizes: write it anew with one voxel size"
        )
    affine = sform.copy()
    affine[:3, :3] *= pixdim / lengths
    return affine
