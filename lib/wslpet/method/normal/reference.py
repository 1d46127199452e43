"""The reference: template of the body and atlas of normal uptake, shipped from phantoms, and how a scan is placed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.atomic_io import replacing
from wslpet.core.errors import InputError, ModelError
from wslpet.method.normal.atlas import Atlas
from wslpet.method.normal.frame import FIT_MM, BodyFrame, FrameFit, features, usual_frame
from wslpet.method.projection.mip import Views
from wslpet.method.shipped import NORMAL_REFERENCE

# Rounds of fitting people to their mean when a template is built; the third changes it by less than a pixel.
ROUNDS = 3


@dataclass(frozen=True, eq=False)
class MipImage:
    """A MIP as it is displayed.

    Parameters
    ----------
    pixels : (row, column) SUV; rows run from head to feet. Columns of the coronal view run from the patient's right to
        the left, those of the sagittal view from the back to the front.
    spacing : of rows and columns, mm.
    """

    pixels: Array
    spacing: tuple[float, float]


def display_images(views: Views) -> tuple[MipImage, MipImage]:
    """The coronal and the sagittal MIP of a scan as they are displayed."""
    coronal, sagittal = views.coronal, views.sagittal
    return (
        MipImage(coronal.mip[::-1, ::-1].T, (coronal.spacing[1], coronal.spacing[0])),
        MipImage(sagittal.mip[:, ::-1].T, (sagittal.spacing[1], sagittal.spacing[0])),
    )


@dataclass(frozen=True, eq=False)
class Reference:
    """Template and atlas.

    Parameters
    ----------
    template : (view, row, column) mean of `frame.features` on the grid of `FIT_MM`.
    weight : (view, row, column) share of people that reach each pixel.
    atlas : of the same people.
    """

    template: FloatArray
    weight: FloatArray
    atlas: Atlas

    def place(self, images: Sequence[MipImage]) -> list[BodyFrame]:
        """Fit the frame of each view of a scan, coronal first; the views share their rows."""
        if len(images) > len(self.template):
            raise InputError(f"{len(images)} views were given, the reference has {len(self.template)}; give fewer")
        frames: list[BodyFrame] = []
        for view, image in enumerate(images):
            fit = FrameFit(self.template[view], self.weight[view])
            frames.append(fit.fit(image.pixels, image.spacing, frames[0] if frames else None))
        return frames


def build_template(people: Sequence[Sequence[MipImage]]) -> tuple[FloatArray, FloatArray]:
    """Template and weight, (view, row, column), of people without a lesion, by fitting them to their own mean."""
    frames = [[usual_frame(image.pixels, image.spacing) for image in images] for images in people]
    template, weight = _mean(people, frames)
    for _ in range(ROUNDS):
        reference = Reference(template, weight, Atlas(np.zeros((len(template), 2, 1, 1)), 0))
        frames = [reference.place(images) for images in people]
        template, weight = _mean(people, frames)
    return template, weight


def _mean(people: Sequence[Sequence[MipImage]], frames: Sequence[Sequence[BodyFrame]]) -> tuple[FloatArray, FloatArray]:
    placed = np.stack(
        [
            [f.to_frame(features(i.pixels), i.spacing, FIT_MM) for i, f in zip(images, own, strict=True)]
            for images, own in zip(people, frames, strict=True)
        ]
    )
    seen = np.isfinite(placed)
    count = seen.sum(axis=0)
    mean = np.nan_to_num(placed).sum(axis=0) / np.maximum(count, 1)
    return mean.astype(np.float32), (count / len(placed)).astype(np.float32)


def save_reference(reference: Reference, path: str | os.PathLike[str]) -> None:
    """Write a reference as .npz, atomically."""
    with replacing(Path(path)) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            template=reference.template.astype(np.float16),
            weight=reference.weight.astype(np.float16),
            quantiles=reference.atlas.quantiles.astype(np.float16),
            people=reference.atlas.people,
        )


@lru_cache(2)
def load_reference(path: str | os.PathLike[str] = NORMAL_REFERENCE) -> Reference:
    """Read a reference, by default the shipped one.

    Raises
    ------
    ModelError
        when the file is missing or not a reference.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = [content[name].astype(np.float32) for name in ("template", "weight", "quantiles")]
            people = int(content["people"])
    except (OSError, KeyError, ValueError) as error:
        raise ModelError(f"reference {Path(path).name} cannot be read ({error}); build it again") from error
    if not all(np.isfinite(array).all() for array in arrays):
        raise ModelError(f"reference {Path(path).name} holds numbers that are not finite; build it again")
    return Reference(arrays[0], arrays[1], Atlas(arrays[2], people))
