"""NRRD and MetaImage (MHA, MHD) files → Volume, read by SimpleITK."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.errors import GeometryError, InputError
from wslpet.core.volume import Volume
from wslpet.io.formats.nifti import Check

ITK = (".nrrd", ".mha", ".mhd")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Axes may be this far from right angles (cosine), by rounding.
PERPENDICULAR = 1e-4
# By name: ITK itself knows some endings in lower case only.
_READERS = {".nrrd": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
_HEAD_BYTES = 1 << 20
_DATA_FILE = re.compile(rb"^\s*(?:ElementDataFile\s*=|data ?file:)([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


def read_itk(path: Path, check: Check) -> Volume:
    """Read an NRRD or MetaImage file as float32 (i, j, k), in the orientation it is stored in.

    Parameters
    ----------
    check : decides on the shape that the header tells, before voxels are read.

    Raises
    ------
    InputError
        when the file is damaged, holds several numbers a voxel, has its voxels in another file, or `check` refuses it.
    GeometryError
        when its axes are not at right angles.
    """
    import SimpleITK as sitk

    _check_attached(path)
    try:
        reader = open_itk(path)
        shape = check(path.name, reader.GetSize())
        image = reader.Execute()
        if image.GetNumberOfComponentsPerPixel() != 1:
            raise InputError(f"image {path.name} holds several numbers a voxel; export SUV")
        stored: Array = sitk.GetArrayFromImage(image)
        array: FloatArray = stored.astype(np.float32).T.reshape(shape, order="A")  # (k, j, i) → (i, j, k)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"image {path.name} cannot be read ({type(error).__name__}); export it again") from error
    affine = np.asarray(LPS_TO_RAS @ _affine(image, path.name), dtype=np.float64)
    return Volume(array, affine, "SUV", path.name)


def open_itk(path: Path) -> Any:
    """Open a file as SimpleITK's reader, which knows the header; voxels are still to be read."""
    import SimpleITK as sitk  # heavy, and only for the rarer formats

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(_READERS[path.suffix.lower()])
    reader.ReadImageInformation()
    return reader


def _affine(image: Any, name: str) -> Array:
    """(4, 4), voxel index → mm LPS, of the first three axes of an image of one frame."""
    axes = np.array(image.GetDirection()).reshape(image.GetDimension(), -1)[:3, :3]
    if np.abs(axes.T @ axes - np.eye(3)).max() > PERPENDICULAR:
        raise GeometryError(
            f"image {name}: its axes are not at right angles (it shears); resample it to a grid that is"
        )
    affine = np.eye(4)
    affine[:3, :3] = axes * image.GetSpacing()[:3]
    affine[:3, 3] = image.GetOrigin()[:3]
    return affine


def _check_attached(path: Path) -> None:
    """Refuse a header that has its voxels in another file, which may be any file of this computer.

    Of .mhd, which has no other way, the file beside it. Keywords: MetaIO's ElementDataFile, and NRRD's "data file".
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    named = [match.decode("latin-1").strip() for match in _DATA_FILE.findall(head)]
    beside = path.name.lower().endswith(".mhd") and all(
        Path(n).name == n and n not in (".", "..", "LIST") for n in named
    )
    if any(name != "LOCAL" for name in named) and not beside:
        raise InputError(f"image {path.name} has its voxels in another file, {named[-1][:80]!r}; export it as one file")
