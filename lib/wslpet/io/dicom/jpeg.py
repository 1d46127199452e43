"""Decode JPEG Lossless and JPEG-LS frames of 16 bits (PS3.5 8.2.1, 8.2.3), with libjpeg-turbo and CharLS.

The image size in the code stream is checked before decoding, since a decoder would allocate any size. The end marker is
checked, too, since a decoder fills in missing pixels of a truncated stream.
"""

from __future__ import annotations

import numpy as np
from pydicom.uid import UID, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless

from wslpet.core.arrays import Array

# JPEG Lossless, process 14. Given as a number, since pydicom 2 and 3 have different names for it.
JPEG_LOSSLESS = UID("1.2.840.10008.1.2.4.57")
JPEG = (JPEG_LOSSLESS, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless)
# Markers: start of frame of lossless JPEG and of JPEG-LS, start of scan, start and end of image.
SOF3, SOF55, SOS, SOI, EOI = 0xC3, 0xF7, 0xDA, b"\xff\xd8", b"\xff\xd9"


def decoded_jpeg(code: bytes, syntax: str, rows: int, columns: int) -> Array:
    """Decode one frame to (row, column) 16-bit words.

    Raises
    ------
    ValueError
        if the code stream is truncated, has another size or type, or cannot be decoded.
    """
    code = code.rstrip(b"\0")
    if not (code.startswith(SOI) and code.endswith(EOI)):
        raise ValueError("cut short")
    is_ls = syntax in (JPEGLSLossless, JPEGLSNearLossless)
    if _frame(code) != (SOF55 if is_ls else SOF3, rows, columns, 1):
        raise ValueError("another frame")
    import imagecodecs  # slow to import, and needed for these transfer syntaxes only

    try:
        words = imagecodecs.jpegls_decode(code) if is_ls else imagecodecs.jpeg8_decode(code)
    except RuntimeError as error:
        raise ValueError("damaged") from error
    if words.shape != (rows, columns):
        raise ValueError("another size")
    return words.astype(np.uint16)


def _frame(code: bytes) -> tuple[int, int, int, int]:
    """Parse the frame header: marker, rows, columns and components (ITU-T T.81 B.2.2, T.87 C.2.2)."""
    place = 2
    while place + 4 <= len(code) and code[place] == 0xFF and code[place + 1] != SOS:
        marker, length = code[place + 1], int.from_bytes(code[place + 2 : place + 4], "big")
        if marker in (SOF3, SOF55) and length >= 8:
            bits, rows, columns, components = (
                code[place + 4],
                int.from_bytes(code[place + 5 : place + 7], "big"),
                int.from_bytes(code[place + 7 : place + 9], "big"),
                code[place + 9],
            )
            if not 2 <= bits <= 16:
                raise ValueError("no pixels of 16 bits")
            return marker, rows, columns, components
        place += 2 + length
    raise ValueError("no frame")
