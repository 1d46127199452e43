"""The CAM network with distance loss on one view, and the shipped weights as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from benchmarks.real.mips.cohort import Cohort
from benchmarks.real.mips.judging import Prediction
from wslpet.core.arrays import Array
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.settings import Settings
from wslpet.data.mip_cohort import MipPerson
from wslpet.method.network.cam import batch_cams, normalise
from wslpet.method.network.checkpoint import Model
from wslpet.method.network.inputs import Example, collate
from wslpet.method.projection.mip import BODY_MARGIN_MM, BODY_SUV, linear_filter
from wslpet.method.segmentation.targets import ClickContour, click_contour
from wslpet.method.training.trainer import train

# The second view is empty: this many columns of SUV 0.
EMPTY_COLUMNS = 8
UNGUARDED = ClickContour(guard=None)


@dataclass(frozen=True, eq=False)
class GridMip:
    """Coronal MIP on the CAM network's grid: (u, z) SUV, and its first pixel on the uncropped grid."""

    pixels: Array
    origin: tuple[int, int]


def grid_mip(person: MipPerson, settings: Settings) -> GridMip:
    spacing = person.image.spacing[::-1]
    pixels = person.image.pixels.T[::-1, ::-1]  # (x to the right, z up)
    for axis in (0, 1):
        weights = linear_filter(pixels.shape[axis], spacing[axis] / settings.grid_mm)
        pixels = np.moveaxis(np.tensordot(weights, pixels, (1, axis)), 0, axis)
    window, margin = [], round(BODY_MARGIN_MM / settings.grid_mm)
    for axis in (0, 1):
        body = np.flatnonzero((pixels >= BODY_SUV).sum(axis=1 - axis) >= 3)
        window.append(slice(max(0, body[0] - margin), body[-1] + 1 + margin) if len(body) else slice(None))
    return GridMip(np.ascontiguousarray(pixels[tuple(window)]), tuple(w.start or 0 for w in window))


def example(person: MipPerson, settings: Settings) -> Example:
    mip = grid_mip(person, settings)
    images = {
        "coronal": np.stack([mip.pixels, np.zeros_like(mip.pixels)]).astype(np.float32),
        "sagittal": np.zeros((2, EMPTY_COLUMNS, mip.pixels.shape[1]), dtype=np.float32),
    }
    points = None
    if person.click is not None:
        row, column = person.click
        rows, columns = person.image.pixels.shape
        stored = np.array([columns - 1 - column, rows - 1 - row])
        u, z = (stored + 0.5) * person.image.spacing[::-1] / settings.grid_mm - 0.5 - mip.origin
        points = {"coronal": (float(u), float(z)), "sagittal": (EMPTY_COLUMNS / 2, float(z))}
    return Example(images, points, person.cancer_type or NO_TUMOUR, person.name)


def learn_cams(cohort: Cohort, numbers: Sequence[int], epochs: int) -> Model:
    """Today's method from one click a person, from scratch."""
    people = [cohort.people[k] for k in numbers]
    types = tuple(sorted({person.cancer_type for person in people} - {None}))
    settings = Settings(types=types, no_tumour=True, epochs=epochs, patience=epochs)
    return train([example(person, settings) for person in people], settings).model


def predict_cams(cohort: Cohort, numbers: Sequence[int], model: Model, name_types: bool) -> list[Prediction]:
    return [_prediction(cohort.people[k], model, name_types) for k in numbers]


@torch.inference_mode()
def _prediction(person: MipPerson, model: Model, name_types: bool) -> Prediction:
    settings = model.settings
    unlabelled = example(person, settings)
    batch = collate([Example(unlabelled.images, None, settings.classes[-1]).to("cpu")], settings)
    cams = batch_cams(model.network, batch, settings)
    scores = cams.type_scores(settings.pooling)[0]
    tumour = scores[: len(settings.types)]
    best = int(tumour.argmax())
    score = float(tumour.logsumexp(0) - (scores[-1] if settings.no_tumour else 0))
    strength = _at_pixels(normalise(cams.coronal[0, best]).numpy(), person, settings) * person.image.pixels
    place = np.array(np.unravel_index(strength.argmax(), strength.shape), dtype=float)
    mask = click_contour(person.image.pixels, person.image.pixels, place, UNGUARDED)
    probability = float(1 - scores.softmax(0)[-1]) if settings.no_tumour else None
    return Prediction(strength, mask, score, settings.types[best] if name_types else None, probability)


def _at_pixels(cam: Array, person: MipPerson, settings: Settings) -> Array:
    """(u, z) cells → (row, column) of the image."""
    rows, columns = person.image.pixels.shape
    origin = grid_mip(person, settings).origin
    cells = []
    for count, spacing, start in zip((columns, rows), person.image.spacing[::-1], origin, strict=True):
        grid = (np.arange(count)[::-1] + 0.5) * spacing / settings.grid_mm - 0.5 - start
        cells.append((grid + 0.5) / settings.stride - 0.5)
    at = np.meshgrid(cells[0], cells[1], indexing="xy")
    return ndimage.map_coordinates(cam, [at[0], at[1]], order=1, mode="constant")
