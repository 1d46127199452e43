"""Files that are no usable PET scan, as (file name, content)."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable
from typing import Any

import nibabel as nib
import numpy as np

SHAPE = (12, 10, 14)
File = tuple[str, bytes]


def pet() -> np.ndarray:
    """A usable scan's array, which each of the others spoils."""
    array = np.random.default_rng(0).uniform(0.6, 1.4, SHAPE).astype(np.float32)
    array[5:8, 3:6, 6:9] += 8
    return array


def nifti(array: np.ndarray, affine: Any = None, change: Callable[[Any], None] | None = None) -> bytes:
    affine = np.diag([4.0, 4, 4, 1]) if affine is None else np.asarray(affine, float)
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    if change is not None:
        change(image)
    return image.to_bytes()


def with_header(**fields: Any) -> bytes:
    """A usable scan whose raw header fields are overwritten afterwards."""
    content = bytearray(nifti(pet()))
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    content[:348] = header.binaryblock
    return bytes(content)


def packed(content: bytes) -> bytes:
    return gzip.compress(content, 1)


def spoilt(change: Callable[[np.ndarray], Any]) -> bytes:
    array = pet()
    changed = change(array)
    return packed(nifti(array if changed is None else changed))


def _set(value: float) -> Callable[[np.ndarray], None]:
    def change(array: np.ndarray) -> None:
        array[6, 4, 7] = value

    return change


def bomb() -> bytes:
    """A header of two gigavoxels, before zeros that compress a thousandfold."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.float32)
    header.set_data_shape((1290, 1290, 1290))
    header.set_sform(np.diag([1.0, 1, 1, 1]), code=1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    return packed(header.binaryblock + bytes(4 + 4_000_000))


def nrrd(header: str, data: bytes = bytes(64)) -> bytes:
    return f"NRRD0004\n{header}\n\n".encode() + data


def sums() -> bytes:
    """gzip whose checksum is not that of its content."""
    content = bytearray(packed(nifti(pet())))
    content[-8:-4] = struct.pack("<I", 1)
    return bytes(content)


def unoriented(image: Any) -> None:
    image.set_sform(None, 0)
    image.set_qform(None, 0)


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, pet())
    return buffer.getvalue()


_GRID = "type: float\ndimension: 3\nspace: left-posterior-superior\nencoding: raw\nendian: little"

FILES: dict[str, Callable[[], File]] = {
    "empty file": lambda: ("x.nii.gz", b""),
    "text": lambda: ("x.nii.gz", b"hello"),
    "gzip cut in the middle": lambda: ("x.nii.gz", packed(nifti(pet()))[:-40]),
    "gzip cut in its head": lambda: ("x.nii.gz", packed(nifti(pet()))[:6]),
    "gzip with a wrong checksum": lambda: ("x.nii.gz", sums()),
    "gzip of text": lambda: ("x.nii.gz", packed(b"hello" * 100)),
    "NIfTI cut in the header": lambda: ("x.nii", nifti(pet())[:100]),
    "NIfTI cut in the voxels": lambda: ("x.nii", nifti(pet())[:-500]),
    "NIfTI of zeros": lambda: ("x.nii", bytes(4000)),
    "wrong magic": lambda: ("x.nii", with_header(magic=b"xyz", sizeof_hdr=1)),
    "unknown data type": lambda: ("x.nii", with_header(datatype=9999)),
    "complex numbers": lambda: ("x.nii", nifti(pet().astype(np.complex64))),
    "colours": lambda: ("x.nii", nifti(np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]))),
    "2D": lambda: ("x.nii.gz", spoilt(lambda array: array[:, :, 0])),
    "4D": lambda: ("x.nii.gz", spoilt(lambda array: np.stack([array, array], axis=-1))),
    "no voxels": lambda: ("x.nii", with_header(dim=[3, 0, 10, 14, 1, 1, 1, 1])),
    "negative size": lambda: ("x.nii", with_header(dim=[3, -12, 10, 14, 1, 1, 1, 1])),
    "decompression bomb": lambda: ("x.nii.gz", bomb()),
    "all zero": lambda: ("x.nii.gz", spoilt(lambda array: array.fill(0))),
    "NaN": lambda: ("x.nii.gz", spoilt(_set(np.nan))),
    "infinite": lambda: ("x.nii.gz", spoilt(_set(np.inf))),
    "CT in HU": lambda: ("x.nii.gz", spoilt(lambda array: (array * 250 - 1000).astype(np.int16))),
    "CT as stored": lambda: ("x.nii.gz", spoilt(lambda array: (array * 300).astype(np.int16))),
    "CT as stored, resampled": lambda: ("x.nii.gz", spoilt(lambda array: array * 300)),
    "mask": lambda: ("x.nii.gz", spoilt(lambda array: (array > 5).astype(np.uint8))),
    "mask with a slope": lambda: ("x.nii.gz", spoilt(lambda array: (array > 5) * np.float32(0.7))),
    "Bq/ml of a low dose": lambda: ("x.nii.gz", spoilt(lambda array: array * 240)),
    "MBq/ml": lambda: ("x.nii.gz", spoilt(lambda array: array * np.float32(4e-9))),
    "one slice": lambda: ("x.nii.gz", packed(nifti(pet()[:, :, 6:7]))),
    "one sagittal slice": lambda: ("x.nii", nifti(pet()[6:7])),
    "sheared sform alone": lambda: ("x.nii", with_header(srow_y=[0, 4, 0.4, 0])),
    "sform and pixdim of two sizes": lambda: ("x.nii", with_header(pixdim=[1, 4, 4, 2, 1, 1, 1, 1])),
    "unit of metres": lambda: ("x.nii", with_header(xyzt_units=1)),
    "Bq/ml": lambda: ("x.nii.gz", spoilt(lambda array: array * 7000)),
    "absurdly large": lambda: ("x.nii.gz", spoilt(_set(3e38))),
    "overflowing integers": lambda: ("x.nii", with_header(datatype=1280, bitpix=64, dim=[3, 6, 10, 14, 1, 1, 1, 1])),
    "scaling that overflows": lambda: ("x.nii", with_header(scl_slope=3e38, scl_inter=0)),
    "singular affine": lambda: ("x.nii", nifti(pet(), [[4, 4, 0, 0], [4, 4, 0, 0], [0, 0, 4, 0], [0, 0, 0, 1]])),
    "affine of NaN": lambda: ("x.nii", with_header(srow_x=[np.nan, 0, 0, 0])),
    "affine of zeros": lambda: ("x.nii", with_header(srow_x=[0] * 4, srow_y=[0] * 4, srow_z=[0] * 4)),
    "no orientation": lambda: ("x.nii", nifti(pet(), change=unoriented)),
    "zero spacing": lambda: ("x.nii", with_header(srow_z=[0] * 4)),
    "spacing in metres": lambda: ("x.nii", nifti(pet(), np.diag([0.004, 0.004, 0.004, 1]))),
    "spacing of a metre": lambda: ("x.nii", nifti(pet(), np.diag([1000.0, 4, 4, 1]))),
    "NRRD without voxels": lambda: ("x.nrrd", nrrd(f"{_GRID}\nsizes: 12 10 14")),
    "NRRD of nonsense": lambda: ("x.nrrd", b"NRRD0004\nnonsense\n\n"),
    "NRRD that names another file": lambda: ("x.nrrd", nrrd(f"{_GRID}\nsizes: 2 2 2\ndata file: /etc/passwd")),
    "MHA that is text": lambda: ("x.mha", b"ObjectType = Image\nNDims = 3\nhello"),
    "MHA that names another file": lambda: (
        "x.mha",
        b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = /etc/passwd\n",
    ),
    "an executable": lambda: ("x.exe", b"MZ"),
    "a DICOM file": lambda: ("x.dcm", bytes(128) + b"DICM"),
    "a NumPy array": lambda: ("x.npy", npy()),
    "a name without an ending": lambda: ("x", nifti(pet())),
}
