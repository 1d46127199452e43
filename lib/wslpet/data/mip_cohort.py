"""Cohorts of MIPs without the volumes: PNG or 2D NIfTI images with a table of clicks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image, UnidentifiedImageError

from wslpet.core.arrays import Array, BoolArray, FloatArray
from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR
from wslpet.io.tables import Table, header_of, parse_table
from wslpet.method.network.coarse_segmenter import SATURATION_SUV
from wslpet.method.normal.reference import MipImage, load_reference
from wslpet.method.segmentation.learner import People

TABLE = "cohort.csv"
COLUMNS = ("image", "cancer_type", "click_x", "click_y")
# Cancer types of a person without a lesion.
LESION_FREE = ("none", NO_TUMOUR)
# Distance of rows and of columns of a PNG, which has no spacing, mm.
PNG_SPACING = (2.0, 2.036)
SUFFIXES = (".png", ".nii.gz", ".nii")


@dataclass(frozen=True, eq=False)
class MipPerson:
    """One person of a cohort of MIPs.

    Parameters
    ----------
    name : name of the image.
    person : identifier of the person; images of one person are never divided between training and test.
    cancer_type : cancer type; None for a person without a lesion.
    image : the coronal MIP.
    click : (row, column) of `image`, on one lesion; None without a lesion.
    mask : (row, column) all lesions, as an expert outlined them; None where that is not known.
    """

    name: str
    person: str
    cancer_type: str | None
    image: MipImage
    click: tuple[int, int] | None
    mask: BoolArray | None


def is_mip_cohort(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is a cohort of MIPs: a `cohort.csv` with the columns `COLUMNS`, and `images/`."""
    path = Path(folder)
    if not (path / TABLE).is_file() or not (path / "images").is_dir():
        return False
    return set(COLUMNS) <= set(header_of((path / TABLE).read_bytes(), COLUMNS))


def read_mip_cohort(folder: str | os.PathLike[str], spacing: tuple[float, float] = PNG_SPACING) -> list[MipPerson]:
    """Read a cohort of MIPs.

    Parameters
    ----------
    folder : with `cohort.csv` (columns `COLUMNS`, and perhaps `person`), `images/NAME.png` or `.nii.gz`, and perhaps
        `masks/NAME` (above half of the range is lesion). A PNG is an inverted grey scale of 8 bits: white is SUV 0,
        black `SATURATION_SUV`. A NIfTI is in SUV and has a single slice along y. Clicks are pixels of the image,
        column and row of a PNG, the first and the other index of a NIfTI; they are empty where `cancer_type` is "none".
    spacing : of rows and columns of a PNG, mm.

    Raises
    ------
    InputError
        naming the row, and what is wrong with it.
    """
    root = Path(folder)
    if not is_mip_cohort(root):
        raise InputError(
            f"{root} is no cohort of MIPs; it needs images/ and a {TABLE} with the columns {', '.join(COLUMNS)}"
        )
    table = parse_table((root / TABLE).read_bytes(), str(root / TABLE), COLUMNS, COLUMNS)
    return [_person(root, row, number, table, spacing) for number, row in table.rows]


def people_of(cohort: Sequence[MipPerson]) -> People:
    """Register all images with their clicks to the reference body, for `wslpet.method.segmentation.learner.learn`."""
    frames = [load_reference().place([person.image])[0] for person in cohort]
    placed = zip(cohort, frames, strict=True)
    images = [frame.to_frame(person.image.pixels, person.image.spacing).astype(np.float16) for person, frame in placed]
    clicks: list[list[tuple[int, float, float]]] = []
    for person, frame in zip(cohort, frames, strict=True):
        place = None if person.click is None else frame.point(person.click, person.image.spacing)
        clicks.append([] if place is None else [(0, float(place[0]), float(place[1]))])
    return People(np.stack(images)[:, None], tuple(person.cancer_type for person in cohort), clicks)


def _person(
    root: Path, cells: Mapping[str, str | None], number: int, table: Table, spacing: tuple[float, float]
) -> MipPerson:
    where, row = f"{root / TABLE}, row {number}", {column: cell or "" for column, cell in cells.items()}
    name, cancer_type = row["image"], row["cancer_type"]
    if not name or not cancer_type or Path(name).name != name:
        raise InputError(f"{where}: image {name!r} of type {cancer_type!r}; give a file name and a type, or none")
    path = _file(root / "images", name)
    if path is None:
        raise InputError(f"{where}: there is no images/{name} with one of the endings {', '.join(SUFFIXES)}; add it")
    pixels, spacing, placed = _read(path, spacing)
    ill = cancer_type not in LESION_FREE
    click = _click(row, where, table, placed, pixels.shape) if ill else None
    mask = None if ill else np.zeros(pixels.shape, dtype=bool)
    mask_path = _file(root / "masks", name)
    if mask_path is not None:
        values, _, _ = _read(mask_path, spacing, mask=True)
        if values.shape != pixels.shape:
            raise InputError(f"{mask_path}: {values.shape} pixels, its image has {pixels.shape}; outline it again")
        mask = values > 0.5
    person = row.get("person") or name
    return MipPerson(name, person, cancer_type if ill else None, MipImage(pixels, spacing), click, mask)


def _file(folder: Path, name: str) -> Path | None:
    return next((folder / (name + suffix) for suffix in SUFFIXES if (folder / (name + suffix)).is_file()), None)


@dataclass(frozen=True)
class _Orientation:
    """Orientation of the stored axes: how they are converted to rows and columns.

    Parameters
    ----------
    rows_first : whether the first stored index is the row.
    flipped : whether rows and columns are reversed.
    """

    rows_first: bool
    flipped: tuple[bool, bool]

    def displayed(self, stored: tuple[int, int], shape: tuple[int, ...]) -> tuple[int, int]:
        """Stored (first, second) index → (row, column)."""
        pair = stored if self.rows_first else stored[::-1]
        row, column = (n - 1 - k if flip else k for k, n, flip in zip(pair, shape, self.flipped, strict=True))
        return row, column


def _read(
    path: Path, spacing: tuple[float, float], mask: bool = False
) -> tuple[Array, tuple[float, float], _Orientation]:
    """Read an image: (row, column) in SUV, or a mask as a share of its range; spacing (mm); stored orientation."""
    if path.suffix == ".png":
        try:
            with Image.open(path) as picture:
                grey = np.asarray(picture.convert("L"), dtype=np.float32) / 255
        except (UnidentifiedImageError, OSError) as error:
            raise InputError(f"{path} cannot be read as a picture ({error}); export it again") from error
        return (grey if mask else (1 - grey) * SATURATION_SUV), spacing, _Orientation(False, (False, False))
    return _read_nifti(path, mask)


def _read_nifti(path: Path, mask: bool) -> tuple[FloatArray, tuple[float, float], _Orientation]:
    try:
        image: Any = nib.load(path)
        values = np.asarray(image.dataobj, dtype=np.float32)
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise InputError(f"{path} cannot be read as NIfTI ({error}); export it again") from error
    if values.ndim == 2:
        values = values[:, None, :]  # (x, z): a plane without an axis y
        affine = image.affine[:, [0, 2, 1, 3]][[0, 2, 1, 3]]
    else:
        affine = image.affine
    if values.ndim != 3 or values.shape[1] != 1 or not np.isfinite(values).all():
        raise InputError(
            f"{path}: shape {values.shape} is not one finite coronal slice (x, 1, z); project the scan first"
        )
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    codes = nib.aff2axcodes(affine)
    if codes[0] not in "LR" or codes[2] not in "SI":
        raise InputError(f"{path}: axes {codes} are not (right–left, y, head–feet); reorient it")
    flipped = (codes[2] == "S", codes[0] == "R")  # rows from the head, columns from the right
    pixels = values[:, 0, :].T
    for axis in (0, 1):
        if flipped[axis]:
            pixels = np.flip(pixels, axis)
    result: FloatArray = np.ascontiguousarray(pixels) if not mask else (pixels > 0).astype(np.float32)
    return result, (float(spacing[2]), float(spacing[0])), _Orientation(False, flipped)


def _click(
    row: Mapping[str, str], where: str, table: Table, placed: _Orientation, shape: tuple[int, ...]
) -> tuple[int, int]:
    try:
        stored = (round(table.number(row["click_x"])), round(table.number(row["click_y"])))
    except ValueError as error:
        raise InputError(
            f"{where}: click {row['click_x']!r}, {row['click_y']!r} is not two numbers; click it"
        ) from error
    click = placed.displayed(stored, shape)
    if not all(0 <= k < n for k, n in zip(click, shape, strict=True)):
        raise InputError(
            f"{where}: click {stored} is outside the image of {shape[1]} × {shape[0]} pixels; click it again"
        )
    return click
