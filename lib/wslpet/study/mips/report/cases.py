"""Pictures of the best, median and worst patients of ours. They show people: they stay in the study's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from wslpet.core.arrays import BoolArray
from wslpet.data.mip_cohort import MipPerson
from wslpet.method.inference.plotting import LESION_COLOUR, SEED_COLOUR, TRUTH_COLOUR
from wslpet.method.network.coarse_segmenter import SATURATION_SUV
from wslpet.study.mips.cohort import truth_of
from wslpet.study.mips.judging import Outcome
from wslpet.study.mips.report.failures import region_at
from wslpet.study.mips.runs import mask_of
from wslpet.study.mips.study import REFERENCE, MipStudy
from wslpet.study.report.figures import panels_of, saved

# Patients of each picture.
SHOWN = 4


def draw_cases(study: MipStudy, folder: Path) -> list[str]:
    """Write best.png, median.png, worst.png and elsewhere.png (strongest place in no lesion); returns their names.

    Nothing is written where no mask of the reference was kept.
    """
    masks = {
        one.name: mask
        for run in study.kept(REFERENCE)
        for one in study.outcomes(REFERENCE, folds=[run.fold])
        if one.ill and (mask := mask_of(run, study.task, one.name)) is not None
    }
    ill = sorted((one for one in study.outcomes(REFERENCE) if one.name in masks), key=lambda one: -(one.dice or 0.0))
    if not ill:
        return []
    folder.mkdir(exist_ok=True)
    middle = max(0, (len(ill) - SHOWN) // 2)
    chosen = {
        "best": ill[:SHOWN],
        "median": ill[middle : middle + SHOWN],
        "worst": ill[-SHOWN:],
        "elsewhere": [one for one in ill if one.strongest_place is False][-2 * SHOWN :],
    }
    return [name for name, cases in chosen.items() if cases and _drawn(study, cases, masks, folder / f"{name}.png")]


def _drawn(study: MipStudy, cases: Sequence[Outcome], masks: dict[str, BoolArray], path: Path) -> bool:
    numbers = {person.name: k for k, person in enumerate(study.cohort.people)}
    figure, panels = panels_of(len(cases), 2.6, 5.2)
    for axes, one in zip(panels, cases, strict=True):
        k = numbers[one.name]
        panel(axes, study.cohort.people[k], masks[one.name], one)
        place = "" if one.strongest is None else region_at(study.cohort, k, one.strongest).partition(":")[0]
        axes.set_title(f"{one.name}, {one.cancer_type}\nDice {one.dice:.2f}; strongest: {place}", fontsize=6)
    return saved(figure, path)


def panel(axes: Axes, person: MipPerson, mask: BoolArray, one: Outcome) -> None:
    """Draw the MIP; the expert's mask and ours as outlines, the strongest place as a cross."""
    height, width = np.array(person.image.pixels.shape) * person.image.spacing
    extent = (0.0, width, height, 0.0)
    axes.imshow(person.image.pixels, cmap="gray_r", vmin=0, vmax=SATURATION_SUV, extent=extent)
    for region, colour in ((truth_of(person), TRUTH_COLOUR), (mask, LESION_COLOUR)):
        if region.any():
            axes.contour(region, [0.5], colors=colour, linewidths=0.8, extent=extent, origin="upper")
    if one.strongest is not None:
        row, column = (np.array(one.strongest) + 0.5) * person.image.spacing
        axes.plot(column, row, "+", color=SEED_COLOUR, ms=7)
    axes.set_axis_off()
