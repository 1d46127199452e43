"""Implants: a site's own clicked lesions, put into scans where nothing else is a lesion (ours).

One click a patient teaches one lesion a patient and leaves the rest unknown; with implants, a scan has several, and
every pixel of it is known. A MIP shows the highest value along a ray, so that a lesion is added by the maximum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from wslpet.core.arrays import Array, BoolArray, FloatArray

# Pixels around a lesion that are carried along: its blurred edge.
EDGE = 2
SMALLEST = 2
MOST = 8
# A lesion is visible where it exceeds what is there by this SUV.
VISIBLE_SUV = 0.4
BODY_SUV = 0.7
# Share of the implants that are placed near where the lesion was, and how near (standard deviation, pixels).
IN_PLACE, NEAR = 0.5, 15.0


@dataclass(frozen=True, eq=False)
class Implant:
    """A lesion cut out: SUV (row, column) with its edge, its mask, its centre in the frame and its view."""

    values: FloatArray
    mask: BoolArray
    centre: tuple[int, int]
    view: int


@dataclass(frozen=True, eq=False)
class ImplantLibrary:
    """Lesions of a training set by view."""

    views: tuple[tuple[Implant, ...], ...]

    def __bool__(self) -> bool:
        return any(self.views)


def implant_library(images: Array, lesions: BoolArray) -> ImplantLibrary:
    """Cut out each lesion (connected component) of (person, view, row, column)."""
    found: list[list[Implant]] = [[] for _ in range(images.shape[1])]
    for image, mask in zip(images, lesions, strict=True):
        for view in range(images.shape[1]):
            labels, _ = ndimage.label(mask[view], np.ones((3, 3)))
            for number, (y, x) in enumerate(ndimage.find_objects(labels), start=1):
                rows = slice(max(0, y.start - EDGE), y.stop + EDGE)
                columns = slice(max(0, x.start - EDGE), x.stop + EDGE)
                own = labels[rows, columns] == number
                if own.sum() < SMALLEST:
                    continue
                wide = ndimage.binary_dilation(own, iterations=EDGE)
                values = np.where(wide, np.nan_to_num(image[view, rows, columns].astype(np.float32)), 0)
                centre = ((y.start + y.stop) // 2, (x.start + x.stop) // 2)
                found[view].append(Implant(values, own, centre, view))
    return ImplantLibrary(tuple(tuple(one) for one in found))


def implant(
    image: FloatArray, library: ImplantLibrary, view: int, first_row: int, rng: np.random.Generator
) -> tuple[FloatArray, BoolArray]:
    """Add one to `MOST` lesions to an image (row, column) whose first row is `first_row` of the frame.

    Returns
    -------
    The image, and where the new lesions are visible.
    """
    image, mask = image.copy(), np.zeros(image.shape, dtype=bool)
    choices = library.views[view]
    body = np.argwhere(image > BODY_SUV)
    if not choices or not len(body):
        return image, mask
    for _ in range(int(rng.integers(1, MOST + 1))):
        lesion = choices[rng.integers(len(choices))]
        values, own = _changed(lesion, rng)
        if rng.random() < IN_PLACE:
            y, x = np.rint(np.array(lesion.centre) - (first_row, 0) + rng.normal(0, NEAR, 2)).astype(int)
        else:
            y, x = body[rng.integers(len(body))]
        _add(image, mask, values, own, int(y) - values.shape[0] // 2, int(x) - values.shape[1] // 2)
    return image, mask


def _changed(lesion: Implant, rng: np.random.Generator) -> tuple[FloatArray, BoolArray]:
    """Mirrored, resized, fainter or brighter."""
    size = float(np.exp(rng.uniform(-0.6, 0.3)))
    values = ndimage.zoom(lesion.values, size, order=1)
    own = ndimage.zoom(lesion.mask.astype(np.float32), size, order=1) > 0.5
    for axis in (0, 1):
        if rng.random() < 0.5:
            values, own = np.flip(values, axis), np.flip(own, axis)
    return values * rng.uniform(0.55, 1.15), own


def _add(image: FloatArray, mask: BoolArray, values: FloatArray, own: BoolArray, y: int, x: int) -> None:
    rows, columns = slice(max(0, y), y + values.shape[0]), slice(max(0, x), x + values.shape[1])
    there = image[rows, columns]
    if not there.size or y + values.shape[0] <= 0 or x + values.shape[1] <= 0:
        return
    cut = (
        slice(rows.start - y, rows.start - y + there.shape[0]),
        slice(columns.start - x, columns.start - x + there.shape[1]),
    )
    mask[rows, columns] |= own[cut] & (values[cut] > there + VISIBLE_SUV)
    image[rows, columns] = np.maximum(there, values[cut])
