"""Atlas of normal uptake: quantiles of people without a lesion, per pixel of the body's frame and view (ours)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.atomic_io import replacing
from wslpet.core.errors import InputError, ModelError
from wslpet.method.normal.frame import GRID_MM

ATLAS_MM = 4.0
QUANTILES = (0.75, 0.95)
# A pixel's quantiles are of the highest SUV within this reach (rows, columns), as organs move from person to person.
REACH_MM = (28.0, 20.0)
# Where fewer people reach, the quantiles are those of the nearest row that enough people reach.
FEWEST = 5


@dataclass(frozen=True, eq=False)
class Atlas:
    """Quantiles of normal uptake in the frame of the body.

    Parameters
    ----------
    quantiles : (view, quantile, row, column) float32, SUV, on the grid of `ATLAS_MM`; quantiles as in `QUANTILES`.
    people : how many it was made of.
    """

    quantiles: FloatArray
    people: int

    def on_grid(self, rows: int) -> FloatArray:
        """Quantiles on the frame's own grid, its first rows: (view, quantile, row, column)."""
        fine = self.quantiles.repeat(2, axis=2).repeat(2, axis=3)
        smooth: FloatArray = ndimage.uniform_filter(fine, size=(1, 1, 3, 3), mode="nearest")[:, :, :rows]
        return smooth

    def smooth(self, rows: int) -> FloatArray:
        """Quantiles on the atlas's own grid, its first rows: (view, quantile, row, column)."""
        found: FloatArray = ndimage.uniform_filter(self.quantiles, size=(1, 1, 3, 3), mode="nearest")[:, :, :rows]
        return found

    def excess(self, images: Array) -> FloatArray:
        """SUV above the highest quantile: (person, view, row, column) on the frame's grid, 0 where it is not above."""
        limit = self.on_grid(images.shape[2])[:, -1]
        result: FloatArray = np.clip(np.nan_to_num(images) - limit, 0, None).astype(np.float32)
        return result


def build_atlas(images: Array, normal: Array | None = None) -> Atlas:
    """The atlas of people without a lesion, and of what is normal in others.

    Parameters
    ----------
    images : (person, view, row, column) SUV on the frame's grid, NaN outside the scan.
    normal : (person, view, row, column) bool, what may be learned from; default: everything.

    Raises
    ------
    InputError
        when there are fewer than `FEWEST` people.
    """
    if len(images) < FEWEST:
        raise InputError(f"an atlas of normal uptake needs {FEWEST} people, there are {len(images)}; mark more")
    factor = round(ATLAS_MM / GRID_MM)
    n, views, rows, columns = images.shape
    size = tuple(2 * int(reach / ATLAS_MM / 2) + 1 for reach in REACH_MM)
    small = np.full((n, views, rows // factor, columns // factor), np.nan, dtype=np.float32)
    for k in range(n):
        for view in range(views):
            values = images[k, view].astype(np.float32)
            if normal is not None:
                values = np.where(normal[k, view], values, np.nan)
            blocks = values.reshape(rows // factor, factor, columns // factor, factor).mean(axis=(1, 3))
            highest = ndimage.maximum_filter(np.nan_to_num(blocks, nan=-1.0), size=size)
            small[k, view] = np.where(np.isnan(blocks), np.nan, highest)
    return Atlas(np.stack([_quantiles(small[:, view]) for view in range(views)]), n)


def _quantiles(small: FloatArray) -> FloatArray:
    """(person, row, column) with NaN → (quantile, row, column) without."""
    ordered = np.sort(small, axis=0)  # NaN last
    count = np.isfinite(small).sum(axis=0)
    found = np.empty((len(QUANTILES), *small.shape[1:]), dtype=np.float32)
    for number, quantile in enumerate(QUANTILES):
        place = np.clip(np.floor(quantile * count).astype(int), 0, np.maximum(count - 1, 0))
        found[number] = np.take_along_axis(ordered, place[None], axis=0)[0]
    enough = (count >= FEWEST).mean(axis=1) > 0.5
    if not enough.any():
        raise InputError(f"fewer than {FEWEST} people reach any row of the frame; mark more people without a tumour")
    rows = np.flatnonzero(enough)
    nearest = rows[np.abs(np.arange(len(enough))[:, None] - rows).argmin(axis=1)]
    return np.nan_to_num(found[:, nearest])


def save_atlas(atlas: Atlas, path: str | os.PathLike[str]) -> None:
    """Write an atlas as .npz, atomically."""
    with replacing(Path(path)) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, quantiles=atlas.quantiles.astype(np.float16), people=atlas.people)


def load_atlas(path: str | os.PathLike[str]) -> Atlas:
    """Read an atlas.

    Raises
    ------
    ModelError
        when the file is missing or not an atlas.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            quantiles, people = content["quantiles"].astype(np.float32), int(content["people"])
    except (OSError, KeyError, ValueError) as error:
        raise ModelError(f"atlas {Path(path).name} cannot be read ({error}); build it again") from error
    if quantiles.ndim != 4 or quantiles.shape[1] != len(QUANTILES) or not np.isfinite(quantiles).all():
        raise ModelError(f"atlas {Path(path).name} does not hold (view, quantile, row, column); build it again")
    return Atlas(quantiles, people)
