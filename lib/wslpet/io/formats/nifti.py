"""NIfTI files → Volume: decompressed, scaled and watched some slices at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip
from nibabel.volumeutils import apply_read_scaling

from wslpet.core.arrays import Array
from wslpet.core.errors import InputError
from wslpet.core.volume import Volume
from wslpet.io.formats.nifti_forms import affine_of, forms_of

NIFTI = (".nii.gz", ".nii")
# More would have to wait for each other more often; the last of fewer would be late.
PIECES = 12

# Called with a volume whose voxels are still to come; returns what is called with slices (last axis) as they arrive.
OnSlices = Callable[[Volume], Callable[[slice], None]]
# Called with a file's name and its shape; returns the three axes of the image, or raises InputError.
Check = Callable[[str, tuple[int, ...]], tuple[int, ...]]


def read_nifti(path: Path, check: Check, on_slices: OnSlices | None = None) -> Volume:
    """Read a NIfTI file as float32 (i, j, k), in the orientation it is stored in.

    Parameters
    ----------
    check : decides on the shape that the header tells, before voxels are read.
    on_slices : watches the volume while it is decoded.

    Raises
    ------
    InputError
        when the file is damaged, its voxels are no real numbers, or `check` refuses it.
    """
    try:
        image = open_nifti(path)
        shape = check(path.name, image.shape)
        if image.get_data_dtype().kind not in "iuf":
            raise InputError(
                f"image {path.name} holds {image.get_data_dtype()}, not one real number a voxel; export SUV"
            )
        affine, forms = affine_of(image.header, path.name), forms_of(image.header)
        volume = Volume(np.empty(shape, dtype=np.float32, order="F"), affine, "SUV", path.name, forms)
        _decode(path, image.dataobj, volume.array, on_slices(volume) if on_slices else None)
    except InputError:
        raise
    except Exception as error:
        why = str(error).replace(str(path), path.name)
        raise InputError(f"image {path.name} cannot be read as NIfTI ({why}); export it again") from error
    return volume


def open_nifti(path: Path) -> Any:
    """Open a file as nibabel's image, whose voxels are still to be read."""
    end = path.name[-len(".nii.gz") :] if path.name.lower().endswith(".gz") else path.suffix
    if end in (end.lower(), end.upper()):
        return nib.load(path)
    # nibabel would look for the name in lower case
    return nib.Nifti1Image.from_file_map({"image": nib.FileHolder(filename=str(path))})


def _decode(path: Path, stored: Any, array: Array, arrived: Callable[[slice], None] | None) -> None:
    """Fill (i, j, k) float32, first axis fastest: decompressed and scaled some slices at a time.

    Parameters
    ----------
    stored : nibabel's array proxy: offset, dtype, slope and intercept of what the file holds.
    """
    as_is = stored.dtype == np.float32 and stored.dtype.isnative and (stored.slope, stored.inter) == (1, 0)
    slope, inter = np.float32(stored.slope), np.float32(stored.inter)
    values, slice_size = array.reshape(-1, order="F"), array.shape[0] * array.shape[1]
    step = -(-array.shape[2] // PIECES)
    buffer = np.empty(0 if as_is else step * slice_size, dtype=stored.dtype)
    opener = igzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rb") as file:
        file.seek(stored.offset)
        for start in range(0, array.shape[2], step):
            target = values[start * slice_size : (start + step) * slice_size]
            piece = target if as_is else buffer[: target.size]
            if _read_into(file, piece) != piece.nbytes:
                raise EOFError("the file ends too early")
            if not as_is:
                target[:] = apply_read_scaling(piece, slope, inter)
            if arrived:
                arrived(slice(start, start + step))
        file.read(1)  # gzip's checksum is looked at where the data end


def _read_into(file: Any, array: Array) -> int:
    view, filled = array.view(np.uint8).data, 0
    while count := file.readinto(view[filled:]):
        filled += count
    return filled
