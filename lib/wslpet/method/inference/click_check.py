"""Plausibility check of a click (ours): is there a lesion at it? A slip of the mouse is not an annotation.

Clicks of annotators are off the lesion's centre by about 4 mm (SD). Without the check, a click in air yields whatever
else is in the delineation's box, and a click on plain background a fluctuation of the noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from wslpet.core.arrays import Array
from wslpet.core.errors import SeedError
from wslpet.core.seeds import Seed
from wslpet.core.volume import Volume
from wslpet.method.delineation.contours import Contour, best_first
from wslpet.method.inference.localisation import CLICK_SD_MM, lesion_at

# Largest distance of a lesion from its click: nearly four SD of a click.
MISS_MM = 15.0
# But a click in the middle of a necrotic tumour is so far, at most, from the rim around it.
CORE_MM = 30.0
# So many of the candidate contours are looked at, best first, for one that is near enough.
TRIES = 20
# Least contrast of a lesion, SUV: its mean above the median of its surroundings. Noise has less (measured on phantoms
# of all presets and on real lesions).
LEAST_STEP = 0.4
# A region with a lower mean is air, which cannot be confirmed as a lesion.
AIR_SUV = 0.2
# Width of the surroundings, in voxels of this size or larger.
AROUND_STEPS = 3
AROUND_MM = 3.0


@dataclass(frozen=True, eq=False)
class Clicked:
    """Outcome of the check of a click.

    Parameters
    ----------
    contour : of the lesion; None when there is none within `MISS_MM`.
    doubt : a sentence on why there may be no tumour at the click; empty if there is no doubt.
    """

    contour: Contour | None
    doubt: str

    def check(self, sure: bool = False) -> None:
        """Refuse a click without a lesion or, unless the annotator is `sure`, with a doubtful one.

        Raises
        ------
        SeedError
            naming the click, the uptake at it, and the remedy.
        """
        if self.contour is None:
            raise SeedError(f"{self.doubt}; click on the tumour")
        if self.doubt and not sure:
            raise SeedError(
                f"{self.doubt}; click on the tumour, or, if this is one, say so: on the annotation page, with "
                "--sure in a terminal, or with sure=True in Python"
            )


def clicked(ras: Volume, point: Array, seed: Seed) -> Clicked:
    """Delineate the lesion at a click and check it.

    Parameters
    ----------
    ras : (x, y, z) in SUV.
    point : (3,) the click, fractional voxel of `ras`.
    seed : the click as it was sent, for messages.
    """
    contour = _within_reach(ras, point)
    mean, around = (0.0, 0.0) if contour is None else _means(ras, contour)
    if contour is None or mean < AIR_SUV:
        here = _suv_at(ras, point)
        return Clicked(None, f"nothing stands out within {MISS_MM:.0f} mm of {_place(seed)} (SUV {here:.1f})")
    if mean - around >= LEAST_STEP:
        return Clicked(contour, "")
    return Clicked(
        contour,
        f"what is at {_place(seed)} hardly stands out (SUVmean {mean:.1f}, its surroundings {around:.1f})",
    )


def _within_reach(ras: Volume, point: Array) -> Contour | None:
    """Best contour within `MISS_MM` of a click; None when there is none."""
    contour = lesion_at(ras, point)
    if contour is None or _is_near(ras, point, contour):
        return contour
    others = best_first(ras, point, CLICK_SD_MM, TRIES)
    return next((one for one in others if _is_near(ras, point, one)), None)


def _means(ras: Volume, contour: Contour) -> tuple[float, float]:
    """Mean SUV of a lesion and median SUV of its surroundings; the mean twice when the scan ends around the lesion."""
    mean = float(ras.array[contour.window][contour.inside].mean(dtype=np.float64))
    steps = [max(int(AROUND_MM / s), 1) for s in ras.spacing]
    margins = [AROUND_STEPS * step for step in steps]
    window = tuple(slice(max(own.start - m, 0), own.stop + m) for own, m in zip(contour.window, margins, strict=True))
    coarse = tuple(slice(None, None, step) for step in steps)
    image = ras.array[window][coarse]
    inside = np.zeros(ras.array[window].shape, dtype=bool)
    inside[
        tuple(slice(own.start - w.start, own.stop - w.start) for own, w in zip(contour.window, window, strict=True))
    ] = contour.inside
    core = inside[coarse]
    around = image[ndimage.binary_dilation(core, iterations=AROUND_STEPS) & ~core]
    return mean, float(np.median(around)) if around.size else mean


def _is_near(ras: Volume, point: Array, contour: Contour) -> bool:
    """Whether a click may be meant for a contour: it can have missed it, or is in the cold core inside it."""
    away = _distance_mm(ras, point, contour)
    return away <= MISS_MM or (away <= CORE_MM and _surrounds(contour, point))


def _surrounds(contour: Contour, point: Array) -> bool:
    """Whether a contour lies on both sides of a fractional voxel along two axes or all."""
    place = np.rint(point).astype(int) - contour.start
    if (place < 0).any() or (place >= contour.inside.shape).any():
        return False
    x, y, z = place.tolist()
    lines = contour.inside[:, y, z], contour.inside[x, :, z], contour.inside[x, y, :]
    return sum(bool(line[:at].any() and line[at + 1 :].any()) for line, at in zip(lines, (x, y, z), strict=True)) >= 2


def _distance_mm(ras: Volume, point: Array, contour: Contour) -> float:
    """From a fractional voxel to the nearest voxel of a contour, whose surface counts, not its middle."""
    away = np.maximum(np.abs(np.argwhere(contour.inside) + contour.start - point) - 0.5, 0) * ras.spacing
    return float(np.sqrt((away**2).sum(axis=1).min()))


def _suv_at(ras: Volume, point: Array) -> float:
    x, y, z = np.clip(np.rint(point).astype(int), 0, np.array(ras.shape) - 1)
    return float(ras.array[x, y, z])


def _place(seed: Seed) -> str:
    if seed.index is None:
        return f"{[round(v, 1) for v in seed.position]} mm RAS"
    return str([round(v, 1) if v % 1 else int(v) for v in seed.index])
