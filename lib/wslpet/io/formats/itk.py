"""Read NRRD and MetaImage (MHA, MHD) files as `Volume`, with SimpleITK."""

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
# Largest cosine of the angle between two axes that count as perpendicular: headers round.
PERPENDICULAR = 1e-4
# The reader is set by name, since ITK knows some endings in lower case only.
_READERS = {".nrrd": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
_HEAD_BYTES = 1 << 20
_DATA_FILE = re.compile(rb"^\s*(?:ElementDataFile\s*=|data ?file:)([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


def read_itk(path: Path, check: Check) -> Volume:
    """Read an NRRD or MetaImage file as float32 (i, j, k), in its stored orientation.

    Parameters
    ----------
    check : checks the shape in the header, before voxels are read.

    Raises
    ------
    InputError
        if the file is damaged, has several numbers per voxel, or has its voxels in another file; and as `check`.
    GeometryError
        if its axes are not perpendicular.
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
    """Open a file as SimpleITK's reader, with the header but without the voxels."""
    import SimpleITK as sitk  # slow to import, and needed for the rarer formats only

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(_READERS[path.suffix.lower()])
    reader.ReadImageInformation()
    return reader


def _affine(image: Any, name: str) -> Array:
    """Return the affine (4, 4), voxel index → mm LPS, of an image's first three axes."""
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
    """Refuse a header whose voxels are in another file, which could be any file of this computer.

    Only .mhd, which always has its voxels in another file, may name a file in its own folder. The keywords are MetaIO's
    ElementDataFile and NRRD's "data file".
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    named = [match.decode("latin-1").strip() for match in _DATA_FILE.findall(head)]
    beside = path.name.lower().endswith(".mhd") and all(
        Path(n).name == n and n not in (".", "..", "LIST") for n in named
    )
    if any(name != "LOCAL" for name in named) and not beside:
        raise InputError(f"image {path.name} has its voxels in another file, {named[-1][:80]!r}; export it as one file")
