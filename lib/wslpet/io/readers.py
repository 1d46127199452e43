"""PET scans → Volume, whatever the format. What is not a 3D PET scan in SUV is refused here."""

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
    """Read a PET scan, in the orientation it is stored in: a file in SUV, or the folder of one DICOM series.

    Returns
    -------
    Volume, float32 (i, j, k).

    Raises
    ------
    InputError
        when the file is missing, damaged, of another kind, not finite, empty or not in SUV.
    GeometryError
        when it is not 3D, or one slice, or has no usable orientation.
    DicomError
        when the folder is not one PET series whose SUV can be known.
    """
    volume = decoded(path)
    check_suv(volume, float(volume.array.min()), float(volume.array.max()), from_file=not Path(path).is_dir())
    return volume


def check_suv(volume: Volume, low: float, high: float, from_file: bool) -> None:
    """Raises InputError where a scan whose extremes are these is not in SUV.

    Parameters
    ----------
    from_file : nothing but its values tells what it is; not of a series whose SUV follows from its DICOM header.
    """
    check_range(volume.name, low, high)
    if from_file:
        check_values(volume)


def ending(name: str) -> str:
    """How a file's name says what it is, one of `NIFTI` and `ITK`, in the case it is written in; "" when it is none."""
    end = next((end for end in NIFTI + ITK if name.lower().endswith(end)), "")
    return name[len(name) - len(end) :]


def decoded(path: str | os.PathLike[str], on_slices: OnSlices | None = None) -> Volume:
    """As `read_volume`, but for what `check_suv` refuses.

    Parameters
    ----------
    on_slices : watches a NIfTI file while it is decoded; of other formats it hears nothing.
    """
    path = Path(path)
    if path.is_dir():
        from wslpet.io.dicom.series import read_series

        return read_series(path).volume
    return read_file(path, check_scan, on_slices)


def decoded_bytes(path: str | os.PathLike[str]) -> int:
    """Bytes of the array that `read_volume` makes, told by the header alone; 0 of a file that it will refuse."""
    path = Path(path)
    try:
        if path.is_dir():  # DICOM's pixels have half the size of ours
            return 2 * sum(file.stat().st_size for file in path.iterdir())
        is_nifti = ending(path.name).lower() in NIFTI
        shape = open_nifti(path).shape if is_nifti else open_itk(path).GetSize()
    except Exception:
        return 0
    return 4 * int(np.prod(shape, dtype=np.int64))


def read_file(path: Path, check: Check, on_slices: OnSlices | None = None) -> Volume:
    """Read a file by its ending; parameters and errors as `wslpet.io.formats.nifti.read_nifti`."""
    if not path.is_file():
        raise InputError(f"image {path.name} does not exist")
    end = ending(path.name).lower()
    if end in NIFTI:
        return read_nifti(path, check, on_slices)
    if end in ITK:
        return read_itk(path, check)
    raise InputError(f"image {path.name} is none of {', '.join(NIFTI + ITK)}; convert it to NIfTI in SUV")


def check_size(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the three axes of an image; axes beyond the third count as none where each holds one frame.

    Raises
    ------
    GeometryError
        when it is not 3D.
    InputError
        when it has more than `MAX_VOXELS`.
    """
    if all(n == 1 for n in shape[3:]):
        shape = shape[:3]
    if len(shape) != 3:
        raise GeometryError(f"image {name}: shape {tuple(shape)} is not 3D; export one static 3D PET scan")
    if np.prod(shape, dtype=np.float64) > MAX_VOXELS:
        raise InputError(f"image {name}: {tuple(shape)} is over {MAX_VOXELS} voxels; crop or resample it")
    return shape


def check_scan(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """As `check_size`; GeometryError also when the image is one slice."""
    shape = check_size(name, shape)
    if 1 in shape:
        raise GeometryError(f"image {name}: {tuple(shape)} is one slice, no volume; give the whole scan")
    return shape
