"""Pictures of the best, median and worst patients of ours, and of failures by kind. They stay in the study's folder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from wslpet.core.arrays import BoolArray
from wslpet.data.mip_cohort import MipPerson
from wslpet.method.inference.plotting import LESION_COLOUR, SEED_COLOUR, TRUTH_COLOUR
from wslpet.method.network.coarse_segmenter import SATURATION_SUV
from wslpet.study.mips.cohort import Cohort, truth_of
from wslpet.study.mips.judging import Outcome
from wslpet.study.mips.report.failures import SMALL_CM2, region_at
from wslpet.study.mips.runs import mask_of
from wslpet.study.mips.study import REFERENCE, MipStudy
from wslpet.study.report.figures import panels_of, saved

# Patients of each picture.
SHOWN = 4


def draw_cases(study: MipStudy, folder: Path) -> list[str]:
    """Write pictures of people; returns their names.

    best.png, median.png and worst.png by Dice; elsewhere.png: strongest place in no lesion; and those of
    `failures_by_kind`. Nothing is written where no mask of the reference was kept.
    """
    masks = {
        one.name: mask
        for run in study.kept(REFERENCE)
        for one in study.outcomes(REFERENCE, folds=[run.fold])
        if (mask := mask_of(run, study.task, one.name)) is not None
    }
    shown = [one for one in study.outcomes(REFERENCE) if one.name in masks]
    ill = sorted((one for one in shown if one.ill), key=lambda one: -(one.dice or 0.0))
    if not ill:
        return []
    folder.mkdir(exist_ok=True)
    middle = max(0, (len(ill) - SHOWN) // 2)
    chosen = {
        "best": ill[:SHOWN],
        "median": ill[middle : middle + SHOWN],
        "worst": ill[-SHOWN:],
        "elsewhere": [one for one in ill if one.strongest_place is False][-2 * SHOWN :],
        **failures_by_kind(shown, study.cohort),
    }
    return [name for name, cases in chosen.items() if cases and _drawn(study, cases, masks, folder / f"{name}.png")]


def failures_by_kind(outcomes: Sequence[Outcome], cohort: Cohort) -> dict[str, list[Outcome]]:
    """The people with most failures of each kind: "false-REGION" of false parts there, "missed-small" of lesions."""
    numbers = {person.name: k for k, person in enumerate(cohort.people)}
    counts: dict[str, Counter[str]] = {}
    for one in outcomes:
        for pixel in one.false_at or ():
            region = region_at(cohort, numbers[one.name], pixel).partition(":")[0]
            counts.setdefault("false-" + re.sub(r"\W+", "-", region), Counter())[one.name] += 1
        if one.overlapped is not None:
            covered = zip(one.areas or (), one.overlapped, strict=True)
            small = sum(area < SMALL_CM2 and share == 0 for area, share in covered)
            if small:
                counts.setdefault("missed-small", Counter())[one.name] = small
    by_name = {one.name: one for one in outcomes}
    return {kind: [by_name[name] for name, _ in found.most_common(SHOWN)] for kind, found in counts.items()}


def _drawn(study: MipStudy, cases: Sequence[Outcome], masks: dict[str, BoolArray], path: Path) -> bool:
    numbers = {person.name: k for k, person in enumerate(study.cohort.people)}
    figure, panels = panels_of(len(cases), 2.6, 5.2)
    for axes, one in zip(panels, cases, strict=True):
        k = numbers[one.name]
        panel(axes, study.cohort.people[k], masks[one.name], one)
        dice = "" if one.dice is None else f"Dice {one.dice:.2f}; "
        place = "" if one.strongest is None else region_at(study.cohort, k, one.strongest).partition(":")[0]
        axes.set_title(f"{one.name}, {one.cancer_type or 'lesion-free'}\n{dice}strongest: {place}", fontsize=6)
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
