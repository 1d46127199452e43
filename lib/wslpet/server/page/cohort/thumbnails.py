"""Thumbnails of the cohort: both MIPs, small, with the clicks and the outlines of the lesions over them."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from wslpet.core.arrays import Array, BoolArray
from wslpet.core.seeds import NO_TUMOUR, Annotation
from wslpet.core.volume import Volume
from wslpet.method.projection.mip import Views

PIXELS = 176
SUV = 10.0
GAP = 4
PAPER = 242
# Okabe and Ito's vermilion, as the outlines on the page.
COLOUR = (213, 94, 0, 255)
ARM = 4


def drawn(views: Views) -> bytes:
    """PNG: coronal and sagittal MIP in inverse grey."""
    pictures = []
    for view in views:
        grey = PAPER - np.clip(view.mip / SUV, 0, 1) * PAPER
        size = _size(view.mip.shape, view.spacing)
        pictures.append(_picture(grey.astype(np.uint8)).resize(size, Image.Resampling.LANCZOS))
    return _png(_side_by_side("L", PAPER, pictures))


def outlines(labels: Volume, annotation: Annotation) -> bytes:
    """PNG, transparent but for the lesions' outlines and a cross at each click, to lie over `drawn`.

    Parameters
    ----------
    labels : (i, j, k) lesions' numbers, as stored.
    annotation : whose clicks are marked.
    """
    ras = labels.to_ras()
    seeds = () if annotation.cancer_type == NO_TUMOUR else annotation.seeds
    voxels = [ras.to_index(np.array(seed.position)) for seed in seeds]
    pictures = []
    for across, along in ((1, 0), (0, 1)):  # the coronal picture shows (x, z), the sagittal one (y, z)
        shadow: BoolArray = np.any(ras.array, axis=across)
        picture = _outlined(shadow, (ras.spacing[along], ras.spacing[2]))
        clicks = ((voxel[along], voxel[2]) for voxel in voxels)
        pictures.append(_crossed(picture, clicks, shadow.shape))
    return _png(_side_by_side("RGBA", (0, 0, 0, 0), pictures))


def marked(thumbnail: bytes, marks: bytes) -> bytes:
    """A thumbnail with `outlines` over it."""
    below = Image.open(io.BytesIO(thumbnail)).convert("RGBA")
    below.alpha_composite(Image.open(io.BytesIO(marks)))
    return _png(below.convert("RGB"))


def _picture(array: Array) -> Image.Image:
    """(u, z) → the picture: head up, the patient's right, or front, on the left."""
    return Image.fromarray(array.T[::-1, ::-1])


def _size(shape: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[int, int]:
    """Pixels of a view (u, z): the longer side has `PIXELS`."""
    height = PIXELS
    width = max(1, round(height * shape[0] * spacing[0] / (shape[1] * spacing[1])))
    return (width, height) if width <= height else (height, max(1, round(height * height / width)))


def _outlined(shadow: BoolArray, spacing: tuple[float, float]) -> Image.Image:
    inside = _picture(shadow.astype(np.uint8) * 255).resize(_size(shadow.shape, spacing), Image.Resampling.BILINEAR)
    inside = inside.point(lambda value: 255 if value > 127 else 0)
    rim = np.array(inside.filter(ImageFilter.MaxFilter(3))) > np.array(inside)
    return Image.fromarray(np.where(rim[..., None], np.array(COLOUR, np.uint8), np.uint8(0)), "RGBA")


def _crossed(picture: Image.Image, clicks: Iterable[tuple[float, float]], shape: tuple[int, ...]) -> Image.Image:
    pen = ImageDraw.Draw(picture)
    for u, z in clicks:
        x = (1 - (u + 0.5) / shape[0]) * picture.width
        y = (1 - (z + 0.5) / shape[1]) * picture.height
        pen.line((x - ARM, y, x + ARM, y), COLOUR)
        pen.line((x, y - ARM, x, y + ARM), COLOUR)
    return picture


def _side_by_side(mode: str, paper: int | tuple[int, int, int, int], pictures: list[Image.Image]) -> Image.Image:
    coronal, sagittal = pictures
    sheet = Image.new(mode, (coronal.width + GAP + sagittal.width, max(coronal.height, sagittal.height)), paper)
    sheet.paste(coronal, (0, 0))
    sheet.paste(sagittal, (coronal.width + GAP, 0))
    return sheet


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
