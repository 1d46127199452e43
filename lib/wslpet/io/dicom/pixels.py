"""Stored pixel values of a PET slice: decoding, unused bits, padding."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import defragment_data
from pydicom.uid import JPEG2000, JPEG2000Lossless, RLELossless

from wslpet.core.arrays import Array
from wslpet.core.errors import DicomError
from wslpet.io.dicom.headers import PYDICOM_3, RESEND, Header
from wslpet.io.dicom.jpeg import JPEG, decoded_jpeg

# Compressed transfer syntaxes that pydicom decodes → its decoder. Others are for 8 bits or for video.
BY_PYDICOM = {RLELossless: "pydicom" if PYDICOM_3 else "rle", JPEG2000Lossless: "pillow", JPEG2000: "pillow"}


def pixels(header: Header, rows: int, columns: int) -> Array:
    """Decode the stored values of a slice (row, column), as signed or unsigned 16-bit integers.

    Raises
    ------
    DicomError
        if they are not 16-bit MONOCHROME2 pixels, or are damaged.
    """
    remedy = "store the series as 16-bit MONOCHROME2, as PET is"
    if header.text("PhotometricInterpretation") != "MONOCHROME2":
        raise header.refusal("PhotometricInterpretation", "not MONOCHROME2", remedy)
    header.whole("SamplesPerPixel", (1, 1), remedy)
    header.whole("BitsAllocated", (16, 16), remedy)
    bits = header.whole("BitsStored", (8, 16), remedy)
    header.whole("HighBit", (bits - 1, bits - 1), remedy)
    signed = header.whole("PixelRepresentation", (0, 1), remedy)
    stored = _decoded(header, rows, columns).view(np.int16 if signed else np.uint16)
    unused = 16 - bits
    return (stored << unused) >> unused if unused else stored


def padded(header: Header, stored: Array, plane: Array) -> Array:
    """Find the pixels with Pixel Padding Value (PS3.3 C.7.5.1.1.2), outside the field of view: (row, column) bool.

    Pixels of this value count as padding if one of them is at the edge of the slice; otherwise only those with a
    negative SUV do.

    Parameters
    ----------
    stored : (row, column) stored values.
    plane : (row, column) SUV.
    """
    padding = header.stored_value("PixelPaddingValue", stored.dtype)
    if padding is None:
        return np.zeros(stored.shape, bool)
    limit = header.stored_value("PixelPaddingRangeLimit", stored.dtype)
    low, high = sorted((padding, padding if limit is None else limit))
    inside = (stored >= low) & (stored <= high)
    edges = inside[0].any() or inside[-1].any() or inside[:, 0].any() or inside[:, -1].any()
    return inside if edges else inside & (plane < 0)


def _decoded(header: Header, rows: int, columns: int) -> Array:
    """Decoded pixels, (row, column) 16-bit words in native byte order."""
    dataset = header.dataset
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    name = getattr(syntax, "name", "no transfer syntax")
    if syntax is None or (syntax.is_compressed and syntax not in (*BY_PYDICOM, *JPEG)):
        raise DicomError(
            f"{header.file}: pixels in {name} are not supported; store the series uncompressed, or in JPEG Lossless"
        )
    try:
        if syntax.is_compressed:
            decoded = _decompressed(dataset, rows, columns)
        else:
            order = "<u2" if syntax.is_little_endian else ">u2"
            decoded = np.frombuffer(dataset.PixelData, order, rows * columns)
        decoded = decoded.reshape(rows, columns)
    except Exception as error:
        raise DicomError(
            f"{header.file}: pixels ({name}) are damaged or cut short ({type(error).__name__}); {RESEND}"
        ) from error
    return decoded.astype(decoded.dtype.newbyteorder("="))


def _decompressed(dataset: Dataset, rows: int, columns: int) -> Array:
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in JPEG:
        return decoded_jpeg(defragment_data(dataset.PixelData), syntax, rows, columns)
    dataset.convert_pixel_data(BY_PYDICOM[syntax])
    decoded = dataset.pixel_array
    if decoded.dtype.itemsize != 2:
        raise ValueError
    return decoded
