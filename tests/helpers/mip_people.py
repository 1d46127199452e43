"""People as MIPs on the frame's grid (to learn from: on the segmenter's): a hot bladder that is normal, and lesions."""

from __future__ import annotations

import numpy as np

from wslpet.core.arrays import Array
from wslpet.method.normal.frame import FRAME_SHAPE
from wslpet.method.segmentation.batches import TrainingSet
from wslpet.method.segmentation.network import reduced

ROWS = 320
BLADDER = (240, 128)


def disc(centre: tuple[float, float], radius: float, rows: int = ROWS) -> Array:
    y, x = np.ogrid[:rows, : FRAME_SHAPE[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def person(rng: np.random.Generator, lesions: int) -> tuple[Array, Array]:
    """(row, column) SUV and lesions."""
    image = np.full((ROWS, FRAME_SHAPE[1]), 0.05)
    image[20:300, 60:196] = 1.0
    image[disc((BLADDER[0] + rng.normal(0, 3), BLADDER[1] + rng.normal(0, 3)), 14)] = 7.0
    mask = np.zeros(image.shape, dtype=bool)
    for _ in range(lesions):
        mask |= disc((rng.uniform(50, 200), rng.uniform(80, 176)), rng.uniform(4, 8))
    image[mask] = 5.0
    return (image * rng.normal(1, 0.05, image.shape)).astype(np.float32), mask


def training_set(rng: np.random.Generator, ill: int = 6, well: int = 8) -> TrainingSet:
    people = [person(rng, 2) for _ in range(ill)] + [person(rng, 0) for _ in range(well)]
    images = np.stack([image for image, _ in people])[:, None]
    masks = np.stack([mask for _, mask in people])[:, None]
    lesions = reduced(masks) >= 0.5
    return TrainingSet(reduced(images), lesions, np.ones_like(lesions), ("lung",) * ill + (None,) * well)
