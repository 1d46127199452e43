"""The site's own atlas of normal uptake: its annotated scans, without what is clicked or suspected (ours)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from wslpet.core.arrays import FloatArray
from wslpet.method.inference.finding.maps import ANGLES
from wslpet.method.network.coarse_segmenter import GRID_MM
from wslpet.method.normal.atlas import Atlas, build_atlas
from wslpet.method.normal.reference import MipImage, Reference, load_reference
from wslpet.method.segmentation.volumes.lesion_mips import LesionExample, LesionMip

# Of ten people the highest quantile, 0.95, is their highest SUV. Placing one takes 0.2 s.
LEAST_PEOPLE, MOST_PEOPLE = 10, 100
# Uptake of a lesion spills over so many pixels of 4 mm beside its contour.
BESIDE = 3
_VIEWS = ANGLES.index(0.0), ANGLES.index(90.0)


def site_atlas(examples: Sequence[LesionExample], reference: Reference | None = None) -> Atlas | None:
    """Atlas of a site's annotated scans, and of the reference where none of them says anything.

    None of fewer than `LEAST_PEOPLE`.

    Parameters
    ----------
    examples : the last `MOST_PEOPLE` are taken.
    reference : its template places them; default: the shipped one.
    """
    people = [one.mips for one in examples if len(one.mips) == len(ANGLES)][-MOST_PEOPLE:]
    if len(people) < LEAST_PEOPLE:
        return None
    known = reference or load_reference()
    own = build_atlas(np.stack([_placed(mips, known) for mips in people]))
    return replace(own, quantiles=np.where(own.quantiles > 0, own.quantiles, known.atlas.quantiles))


def _placed(mips: Sequence[LesionMip], reference: Reference) -> FloatArray:
    """(view, row, column) SUV on the frame's grid; NaN outside the scan, and near what may be a lesion."""
    coronal, sagittal = (mips[number] for number in _VIEWS)
    # The MIP at 90° is seen from the patient's left, columns from the front to the back.
    pairs = [(coronal.image, _doubtful(coronal)), (sagittal.image[:, ::-1], _doubtful(sagittal)[:, ::-1])]
    spacing = (GRID_MM, GRID_MM)
    frames = reference.place([MipImage(image, spacing) for image, _ in pairs])
    placed = [
        np.where(frame.to_frame(doubtful, spacing) > 0, np.nan, frame.to_frame(image, spacing))
        for frame, (image, doubtful) in zip(frames, pairs, strict=True)
    ]
    return np.stack(placed).astype(np.float16)


def _doubtful(mip: LesionMip) -> FloatArray:
    marked: FloatArray = ndimage.binary_dilation(mip.lesions | mip.unknown, iterations=BESIDE).astype(np.float32)
    return marked
