"""Read NIfTI files as `Volume`; decompressed and scaled a few slices at a time."""

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
# Number of pieces in which a file is decoded while other threads work on its slices. With more pieces they wait more
# often for each other; with fewer the last piece is late.
PIECES = 12

# (volume without voxels) → function that is called with the slices (last axis) that have been decoded.
OnSlices = Callable[[Volume], Callable[[slice], None]]
# (name of a file, shape in its header) → shape (3,) of the image; raises InputError to refuse it.
Check = Callable[[str, tuple[int, ...]], tuple[int, ...]]


def read_nifti(path: Path, check: Check, on_slices: OnSlices | None = None) -> Volume:
    """Read a NIfTI file as float32 (i, j, k), in its stored orientation.

    Parameters
    ----------
    check : checks the shape in the header, before voxels are read.
    on_slices : called while the file is decoded, see `OnSlices`.

    Raises
    ------
    InputError
        if the file is damaged, or its voxels are not real numbers; and as `check`.
    GeometryError
        if it has no usable orientation.
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
    """Open a file as nibabel's image, with the header but without the voxels."""
    end = path.name[-len(".nii.gz") :] if path.name.lower().endswith(".gz") else path.suffix
    if end in (end.lower(), end.upper()):
        return nib.load(path)
    # nibabel would look for the name in lower case
    return nib.Nifti1Image.from_file_map({"image": nib.FileHolder(filename=str(path))})


def _decode(path: Path, stored: Any, array: Array, arrived: Callable[[slice], None] | None) -> None:
    """Decompress and scale a file into an array, a few slices at a time.

    Parameters
    ----------
    stored : nibabel's array proxy, with offset, dtype, slope and intercept of the stored voxels.
    array : (i, j, k) float32 in Fortran order, which is filled.
    arrived : called with the slices (last axis) that have been decoded.
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
        file.read(1)  # gzip verifies its checksum at the end of the data


def _read_into(file: Any, array: Array) -> int:
    view, filled = array.view(np.uint8).data, 0
    while count := file.readinto(view[filled:]):
        filled += count
    return filled
