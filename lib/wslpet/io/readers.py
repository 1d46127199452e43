"""Read PET scans of any format as `Volume`. An input that is not a 3D PET scan in SUV is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from wslpet.core.errors import GeometryError, InputError
from wslpet.core.limits import MAX_VOXELS
from wslpet.core.volume import Volume
from wslpet.io.formats.itk import ITK, open_itk, read_itk
from wslpet.io.formats.nifti import NIFTI, Check, OnSlices, open_nifti, read_nifti
from wslpet.io.plausible import check_range, check_values


def read_volume(path: str | os.PathLike[str]) -> Volume:
    """Read a PET scan in its stored orientation: a file in SUV, or the folder of one DICOM series.

    Returns
    -------
    Volume, float32 (i, j, k), SUV.

    Raises
    ------
    InputError
        if the file is missing, damaged, of another format, not finite, empty or not in SUV.
    GeometryError
        if it is not 3D, has one slice only, or has no usable orientation.
    DicomError
        if the folder is not one PET series, or its SUV cannot be computed.
    """
    volume = decoded(path)
    check_suv(volume, float(volume.array.min()), float(volume.array.max()), from_file=not Path(path).is_dir())
    return volume


def check_suv(volume: Volume, low: float, high: float, from_file: bool) -> None:
    """Raise InputError if a scan is not in SUV.

    Parameters
    ----------
    volume : the scan.
    low, high : its minimum and maximum.
    from_file : whether it is from a file without a unit, and not from a DICOM series.
    """
    check_range(volume.name, low, high)
    if from_file:
        check_values(volume)


def ending(name: str) -> str:
    """Return the ending of an image file's name, one of `NIFTI` and `ITK` in its own case; "" for other files."""
    end = next((end for end in NIFTI + ITK if name.lower().endswith(end)), "")
    return name[len(name) - len(end) :]


def decoded(path: str | os.PathLike[str], on_slices: OnSlices | None = None) -> Volume:
    """As `read_volume`, but without `check_suv`.

    Parameters
    ----------
    on_slices : called while a NIfTI file is decoded, see `OnSlices`; not called for other formats.
    """
    path = Path(path)
    if path.is_dir():
        from wslpet.io.dicom.series import read_series

        return read_series(path).volume
    return read_file(path, check_scan, on_slices)


def decoded_bytes(path: str | os.PathLike[str]) -> int:
    """Return the size of the array that `read_volume` makes, from the header alone; 0 if the file cannot be read."""
    path = Path(path)
    try:
        if path.is_dir():  # DICOM pixels have 2 bytes, those of the volume 4
            return 2 * sum(file.stat().st_size for file in path.iterdir())
        is_nifti = ending(path.name).lower() in NIFTI
        shape = open_nifti(path).shape if is_nifti else open_itk(path).GetSize()
    except Exception:
        return 0
    return 4 * int(np.prod(shape, dtype=np.int64))


def read_file(path: Path, check: Check, on_slices: OnSlices | None = None) -> Volume:
    """Read an image file by its ending; parameters and errors as `wslpet.io.formats.nifti.read_nifti`."""
    if not path.is_file():
        raise InputError(f"image {path.name} does not exist")
    end = ending(path.name).lower()
    if end in NIFTI:
        return read_nifti(path, check, on_slices)
    if end in ITK:
        return read_itk(path, check)
    raise InputError(f"image {path.name} is none of {', '.join(NIFTI + ITK)}; convert it to NIfTI in SUV")


def check_size(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape (3,) of an image; further axes are ignored if their length is 1.

    Raises
    ------
    GeometryError
        if the image is not 3D.
    InputError
        if it has more than `MAX_VOXELS` voxels.
    """
    if all(n == 1 for n in shape[3:]):
        shape = shape[:3]
    if len(shape) != 3:
        raise GeometryError(f"image {name}: shape {tuple(shape)} is not 3D; export one static 3D PET scan")
    if np.prod(shape, dtype=np.float64) > MAX_VOXELS:
        raise InputError(f"image {name}: {tuple(shape)} is over {MAX_VOXELS} voxels; crop or resample it")
    return shape


def check_scan(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """As `check_size`. Raises GeometryError also for an image of one slice."""
    shape = check_size(name, shape)
    if 1 in shape:
        raise GeometryError(f"image {name}: {tuple(shape)} is one slice, no volume; give the whole scan")
    return shape
