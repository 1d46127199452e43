"""What is unusual in a scan: the uptake of its MIPs above the atlas of normal uptake (ours)."""

from __future__ import annotations

import numpy as np

from wslpet.core.arrays import FloatArray
from wslpet.method.normal.frame import FRAME_SHAPE, BodyFrame
from wslpet.method.normal.reference import MipImage, Reference, display_images, load_reference
from wslpet.method.projection.mip import VIEWS, Views

# Below this SUV nothing is unusual: the quantiles of skin, lung and air are so low that noise exceeds them.
LEAST_SUV = 1.5


def unusual_uptake(views: Views, reference: Reference | None = None) -> dict[str, FloatArray]:
    """How far the uptake lies above what is normal at its place in the body.

    Parameters
    ----------
    views : of a RAS volume in SUV.
    reference : default: the shipped one, which is of phantoms.

    Returns
    -------
    View → (u, z) of its MIP: 0 where the SUV does not exceed the atlas's highest quantile, 1 where it is twice that or
    more. 0 outside the frame of the body.
    """
    known = reference or load_reference()
    images = display_images(views)
    limits = known.atlas.on_grid(FRAME_SHAPE[0])[:, -1]
    shown = [_excess(*pair) for pair in zip(images, known.place(images), limits, strict=True)]
    coronal, sagittal = shown
    return dict(zip(VIEWS, (coronal.T[::-1, ::-1], sagittal.T[:, ::-1]), strict=True))


def _excess(image: MipImage, frame: BodyFrame, limit: FloatArray) -> FloatArray:
    """(row, column) of an image as displayed."""
    height, width = image.pixels.shape
    normal = frame.from_frame(limit, (height, width), image.spacing)
    highest = np.maximum(normal, LEAST_SUV)
    excess: FloatArray = np.where(normal > 0, np.clip(image.pixels / highest - 1, 0, 1), 0).astype(np.float32)
    return excess
