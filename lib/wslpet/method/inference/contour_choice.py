"""The reader's choice of contour at a seed: ours or a threshold, and so many steps larger or smaller."""

from __future__ import annotations

from wslpet.core.arrays import Array
from wslpet.core.errors import SeedError
from wslpet.core.seeds import OURS, ContourChoice, Seed
from wslpet.core.volume import Volume
from wslpet.method.delineation.contours import Contour
from wslpet.method.delineation.nested import nested_contours
from wslpet.method.delineation.thresholds import threshold_contour
from wslpet.method.inference.localisation import CLICK_SD_MM


def chosen_contour(ras: Volume, point: Array, seed: Seed, ours: Contour) -> tuple[Contour, ContourChoice]:
    """The contour that a reader chose at a seed.

    Parameters
    ----------
    ras : (x, y, z) in SUV.
    point : (3,) the seed, fractional voxel of `ras`.
    ours : the contour at the seed by the method of this package.

    Returns
    -------
    the contour, and the choice as it was used: where there are fewer larger or smaller contours than steps, with the
    steps that there are.

    Raises
    ------
    SeedError
        when the threshold has no contour at the seed.
    """
    choice, contour = seed.contour, ours
    if choice.method != OURS:
        found = threshold_contour(ras, point, choice.method)
        if found is None:
            place = [round(v, 1) for v in (seed.position if seed.index is None else seed.index)]
            raise SeedError(
                f"{choice.method} has no contour at {place}: what is there has less uptake; choose another contour"
            )
        contour = found
    if not choice.step:
        return contour, choice
    steps, here = nested_contours(ras, point, CLICK_SD_MM, around=contour)
    there = min(max(here + choice.step, 0), len(steps) - 1)
    return steps[there], ContourChoice(choice.method, there - here)
