"""What a scan and its delineated clicks teach the segmenter: MIPs around the body on its grid (ours)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from wslpet.core.arrays import Array, BoolArray, FloatArray
from wslpet.core.seeds import NO_TUMOUR, Annotation
from wslpet.core.volume import Volume
from wslpet.method.delineation.contours import Contour
from wslpet.method.inference.clicked_lesions import clicked_lesions
from wslpet.method.inference.finding.candidates import SHOWN
from wslpet.method.inference.finding.maps import LesionMap, body_columns, displayed, lesion_maps
from wslpet.method.network.coarse_segmenter import on_grid

# A click tells where one lesion is, not that there is no other. What the shipped segmenter suspects at least this much,
# and nobody clicked, teaches nothing.
SUSPECTED = 0.01


@dataclass(frozen=True, eq=False)
class LesionMip:
    """A MIP in the orientation of a display, on the segmenter's grid.

    Parameters
    ----------
    image : (row, column) SUV.
    lesions : (row, column) bool, pixels whose ray passes a lesion.
    visible : (row, column) bool, pixels of `lesions` whose maximum is in a lesion.
    unknown : (row, column) bool, pixels where nobody said whether there is a lesion.
    """

    image: FloatArray
    lesions: BoolArray
    visible: BoolArray
    unknown: BoolArray


@dataclass(frozen=True, eq=False)
class LesionExample:
    """One annotated scan.

    Parameters
    ----------
    mips : from several sides.
    cancer_type : as the reader said it.
    patient : id, the same for all scans of one person.
    """

    mips: tuple[LesionMip, ...]
    cancer_type: str
    patient: str


def clicked_mips(ras: Volume, annotation: Annotation) -> tuple[LesionMip, ...]:
    """MIPs of an annotated scan with the contours of its clicks, as the reader chose them; none if no click has one."""
    if annotation.cancer_type == NO_TUMOUR:
        return lesion_mips(ras, ())
    contours = clicked_lesions(ras, annotation, checked=False).contours
    # Without a contour, the scan would teach that there is no lesion.
    return lesion_mips(ras, contours) if contours else ()


def lesion_mips(ras: Volume, contours: Sequence[Contour]) -> tuple[LesionMip, ...]:
    """MIPs of a scan around the body with its lesions; none of a part of a body.

    Parameters
    ----------
    ras : (x, y, z) in SUV.
    contours : of the clicked lesions; none says that there is no lesion.
    """
    return tuple(_lesion_mip(ras, contours, one) for one in lesion_maps(ras) if body_columns(one.mip) is not None)


def _lesion_mip(ras: Volume, contours: Sequence[Contour], found: LesionMap) -> LesionMip:
    mip = found.mip
    lesions, visible = np.zeros(mip.mip.shape, dtype=bool), np.zeros(mip.mip.shape, dtype=bool)
    for contour in contours:
        x, y, z = (np.argwhere(contour.inside) + contour.start).T
        u = mip.bins[x, y]
        lesions[u, z] = True
        seen = ras.array[x, y, z] >= SHOWN * mip.mip[u, z]
        visible[u[seen], z[seen]] = True
    body = body_columns(mip)

    def small(pixels: Array) -> FloatArray:
        return on_grid(displayed(replace(mip, mip=pixels[body])))

    drawn, suspected = small(lesions) >= 0.5, small(found.probability) >= SUSPECTED
    unknown = suspected & ~drawn if contours else np.zeros(drawn.shape, dtype=bool)
    return LesionMip(small(mip.mip), drawn, small(visible) >= 0.5, unknown)


def mip_arrays(mips: Sequence[LesionMip]) -> dict[str, Any]:
    """MIPs of one scan, which have the same rows, as arrays by name and number."""
    named = [(part.name, number) for number in range(len(mips)) for part in fields(LesionMip)]
    arrays = {f"{name}{number}": getattr(mips[number], name) for name, number in named}
    return {name: array.astype(np.float16) if array.dtype.kind == "f" else array for name, array in arrays.items()}


def mips_from_arrays(arrays: Mapping[str, Array]) -> tuple[LesionMip, ...]:
    """Inverse of `mip_arrays`."""
    names = [part.name for part in fields(LesionMip)]
    count = sum(name.startswith(names[0]) for name in arrays)
    rows = [[np.asarray(arrays[f"{name}{number}"]) for name in names] for number in range(count)]
    return tuple(LesionMip(row[0].astype(np.float32), *row[1:]) for row in rows)
