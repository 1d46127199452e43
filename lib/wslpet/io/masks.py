"""Read and write masks (label values) as NIfTI, NRRD and MetaImage files.

NRRD files are written here and not by pynrrd, because it takes 2 ms instead of 35 ms for 8 million voxels.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import nibabel as nib
import numpy as np
from isal import igzip

from wslpet.core.arrays import Array
from wslpet.core.errors import InputError
from wslpet.core.volume import Volume
from wslpet.io.formats.itk import LPS_TO_RAS
from wslpet.io.formats.nifti import NIFTI
from wslpet.io.formats.nifti_forms import disagreement_mm, other_affine, with_forms
from wslpet.io.readers import check_size, read_file

# Positions that differ by less than this are equal: headers round.
SAME_PLACE_MM = 0.05
# Compression level of gzip. Nearly all voxels of a mask are 0, so that the fastest level makes it small.
MASK_COMPRESSION = 1
_NOTHING_BYTES = 1 << 19


def read_mask(path: str | os.PathLike[str], scan: Volume | None = None) -> Volume:
    """Read label values in their stored orientation; an empty mask is accepted.

    Parameters
    ----------
    path : the file.
    scan : the scan of the mask. If the scan's qform and sform differ, a mask of its shape in the position of the other
        form was drawn on this scan by other software; it gets the scan's affine.

    Returns
    -------
    Volume, uint8 (i, j, k), unit "label".

    Raises
    ------
    InputError
        if the file is missing, damaged, of another format or not 3D, or its values are not whole numbers from 0 to
        255.
    """
    volume = read_file(Path(path), check_size)
    labels = volume.array.astype(np.uint8)
    if not np.array_equal(labels, volume.array):
        raise InputError(f"mask {volume.name} holds values that are no labels (whole numbers from 0 to 255)")
    if scan is not None and _is_drawn_on(volume, scan):
        return Volume(labels, scan.affine, "label", volume.name, scan.forms)
    return volume.with_array(labels, "label")


def _is_drawn_on(mask: Volume, scan: Volume) -> bool:
    other = other_affine(scan.forms)
    return (
        other is not None
        and mask.shape == scan.shape
        and disagreement_mm(mask.affine, scan.affine, scan.shape) > SAME_PLACE_MM
        and disagreement_mm(mask.affine, other, scan.shape) <= SAME_PLACE_MM
    )


def write_mask(mask: Volume, path: str | os.PathLike[str], compress: bool = True) -> None:
    """Write label values as uint8 NIfTI (compressed if the name ends in .gz), .nrrd or .mha.

    A NIfTI mask of a NIfTI scan gets the scan's qform, sform and codes, so that all software shows both in one place.
    """
    name = Path(path).name
    if name.endswith((*NIFTI, ".nrrd")):
        with open(path, "wb") as file:
            _write_to(file, mask, name, compress)
    else:
        _write_itk(mask, Path(path), compress)


def mask_content(mask: Volume, extension: str, compress: bool = True, slices: slice | None = None) -> bytes:
    """Return the content of the file that `write_mask` writes.

    Parameters
    ----------
    mask : (i, j, k) label values.
    extension : ending of the file's name.
    compress : whether .nrrd and .mha are compressed.
    slices : slices (last axis, with start and stop) outside of which all voxels are known to be 0.
    """
    if extension.endswith((*NIFTI, ".nrrd")):
        file = io.BytesIO()
        _write_to(file, mask, extension, compress, slices)
        return file.getvalue()
    with tempfile.TemporaryDirectory(prefix="wslpet-") as folder:
        path = Path(folder) / f"mask{extension}"
        _write_itk(mask, path, compress)
        return path.read_bytes()


def _write_to(file: BinaryIO, mask: Volume, name: str, compress: bool, slices: slice | None = None) -> None:
    """Write header and voxels, first axis fastest. The header of .nrrd is not compressed."""
    pieces = _pieces(np.asfortranarray(mask.array, dtype=np.uint8), slices)
    if name.endswith(".nrrd"):
        file.write(_nrrd_header(mask, compress))
        header = b""
    else:
        header, compress = _nifti_header(mask.shape, mask.affine.tobytes(), mask.forms), name.endswith(".gz")
    if not compress:
        file.writelines([header, *pieces])
        return
    with igzip.IGzipFile(fileobj=file, mode="wb", compresslevel=MASK_COMPRESSION, filename="", mtime=0) as packed:
        packed.writelines([header, *pieces])


def _pieces(array: Array, slices: slice | None) -> Iterator[memoryview]:
    """Yield the voxels. Those outside `slices` are not read, since reading memory that was never written is slow."""
    if slices is None:
        yield array.T.data
        return
    plane, nothing = array.shape[0] * array.shape[1], memoryview(bytes(_NOTHING_BYTES))
    for first, last in ((0, slices.start), (slices.stop, array.shape[2])):
        if first:
            yield array[:, :, slices].T.data
        for start in range(first * plane, last * plane, _NOTHING_BYTES):
            yield nothing[: last * plane - start]


@lru_cache(maxsize=64)
def _nifti_header(shape: tuple[int, int, int], affine: bytes, forms: bytes) -> bytes:
    """Return the header of a mask. `affine` is given as the bytes of its float64 array; `forms` take precedence."""
    nothing = np.broadcast_to(np.uint8(0), shape)
    image = nib.Nifti1Image(nothing, np.frombuffer(affine).reshape(4, 4))
    image.header.set_xyzt_units("mm")
    if forms:
        with_forms(image.header, forms)
    image.header.set_data_offset(image.header.single_vox_offset)
    header: bytes = image.header.binaryblock
    return header + bytes(image.header.single_vox_offset - image.header.sizeof_hdr)


def _nrrd_header(mask: Volume, compress: bool) -> bytes:
    """Return the NRRD header of a mask (http://teem.sourceforge.net/nrrd/format.html)."""
    affine = LPS_TO_RAS @ mask.affine
    vectors = [f"({','.join(repr(float(v)) for v in column)})" for column in affine[:3].T]
    lines = [
        "NRRD0004",
        "type: uint8",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, mask.shape))}",
        f"space directions: {' '.join(vectors[:3])}",
        "kinds: domain domain domain",
        f"encoding: {'gzip' if compress else 'raw'}",
        f"space origin: {vectors[3]}",
    ]
    return ("\n".join(lines) + "\n\n").encode()


def _write_itk(mask: Volume, path: Path, compress: bool) -> None:
    import SimpleITK as sitk

    affine = LPS_TO_RAS @ mask.affine
    image = sitk.GetImageFromArray(np.ascontiguousarray(mask.array.T, dtype=np.uint8))
    image.SetSpacing(mask.spacing)
    image.SetDirection((affine[:3, :3] / mask.spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    sitk.WriteImage(image, str(path), useCompression=compress)
