"""Files → Volume, and masks → files. Whatever is not a 3D PET scan in SUV is refused here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from lib.errors import GeometryError, InputError
from lib.limits import MAX_SUV, MAX_VOXELS
from lib.volume import Volume

NIFTI = (".nii.gz", ".nii")
ITK = (".nrrd", ".mha", ".mhd")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_volume(path: str | os.PathLike[str]) -> Volume:
    """Read a PET scan, in the orientation it is stored in: a file in SUV, or the folder of one DICOM series.

    Returns
    -------
    Volume, float32 (i, j, k).

    Raises
    ------
    InputError
        when the file is missing, damaged, of another kind, not 3D, not finite, empty or not in SUV.
    GeometryError
        when it has no usable orientation.
    DicomError
        when the folder is not one PET series whose SUV can be known.
    """
    path = Path(path)
    if path.is_dir():
        from lib.series import read_series

        return _checked(read_series(path).volume)
    return _checked(_read(path))


def read_mask(path: str | os.PathLike[str]) -> Volume:
    """Read label values, in the orientation they are stored in; an empty mask is a mask.

    Returns
    -------
    Volume, uint8 (i, j, k), unit "label".

    Raises
    ------
    InputError
        when the file is missing, damaged, of another kind or not 3D, or holds anything but whole numbers
        from 0 to 255.
    """
    volume = _read(Path(path))
    labels = volume.array.astype(np.uint8)
    if not np.array_equal(labels, volume.array):
        raise InputError(f"mask {volume.name} holds values that are no labels (whole numbers from 0 to 255)")
    return volume.with_array(labels, "label")


def _read(path: Path) -> Volume:
    if not path.is_file():
        raise InputError(f"image {path.name} does not exist")
    if path.name.endswith(NIFTI):
        return _read_nifti(path)
    if path.name.endswith(ITK):
        return _read_itk(path)
    raise InputError(f"image {path.name} is none of {', '.join(NIFTI + ITK)}; convert it to NIfTI in SUV")


def _read_nifti(path: Path) -> Volume:
    try:
        image: Any = nib.load(path)
        shape = image.shape
        if len(shape) == 4 and shape[3] == 1:
            image = image.slicer[..., 0]
        _check_size(path.name, image.shape)
        affine = image.affine
        if affine is None or (image.header["qform_code"] == 0 and image.header["sform_code"] == 0):
            raise GeometryError(f"image {path.name}: no orientation (qform and sform code are 0); re-export it")
        array = np.asarray(image.dataobj, dtype=np.float32)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"image {path.name} cannot be read as NIfTI ({error}); export it again") from error
    return Volume(array, affine, "SUV", path.name)


def _read_itk(path: Path) -> Volume:
    import SimpleITK as sitk  # heavy, and only for the rarer formats

    try:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        _check_size(path.name, reader.GetSize())
        image = reader.Execute()
        array = sitk.GetArrayFromImage(image).astype(np.float32).T  # (k, j, i) → (i, j, k)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"image {path.name} cannot be read ({type(error).__name__}); export it again") from error
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Volume(array, LPS_TO_RAS @ affine, "SUV", path.name)


def _check_size(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 3:
        raise GeometryError(f"image {name}: shape {tuple(shape)} is not 3D; export one static 3D PET scan")
    if np.prod(shape, dtype=np.float64) > MAX_VOXELS:
        raise InputError(f"image {name}: {tuple(shape)} is over {MAX_VOXELS} voxels; crop or resample it")


def _checked(volume: Volume) -> Volume:
    low, high = float(volume.array.min()), float(volume.array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"image {volume.name} holds NaN or infinite values; export it again")
    if high <= 0:
        raise InputError(f"image {volume.name} is empty: its maximum is {high:g}; export the PET in SUV")
    if high > MAX_SUV:
        raise InputError(f"image {volume.name}: maximum {high:g} is not SUV (Bq/ml?); convert it to SUVbw first")
    if low < -1.0:
        raise InputError(f"image {volume.name}: minimum {low:g} is not SUV (a CT in HU?); give the PET in SUV")
    return volume


def write_mask(mask: Volume, path: str | os.PathLike[str], compress: bool = True) -> None:
    """Write label values as uint8 NIfTI (compressed by the name's end), .nrrd or .mha."""
    path = Path(path)
    array = mask.array.astype(np.uint8)
    if path.name.endswith(NIFTI):
        nib.save(nib.Nifti1Image(array, mask.affine), path)
        return
    import SimpleITK as sitk

    affine = LPS_TO_RAS @ mask.affine
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(mask.spacing)
    image.SetDirection((affine[:3, :3] / mask.spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    sitk.WriteImage(image, str(path), useCompression=compress)
