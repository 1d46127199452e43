"""Tables of details: Dice by cancer type, lesions by size, cost, what each system is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from wslpet.analysis.statistics import bootstrap, wilson
from wslpet.study.mips import results
from wslpet.study.mips.report.tables.checks import patients_of
from wslpet.study.mips.report.tables.parts import NONE, Table, interval, percent
from wslpet.study.mips.results import Judged
from wslpet.study.mips.study import MipStudy

# Assumed time of a reader to click on a lesion, and to outline it in one view.
CLICK_SECONDS, OUTLINE_SECONDS = 5.0, 30.0
# Areas of lesions, cm², that sensitivity is told of.
AREAS = (0.0, 0.5, 2.0, 10.0, np.inf)


def by_type(rows: Sequence[Judged], data: str) -> Table:
    """Dice of each cancer type."""
    types = sorted({str(o.cancer_type) for one in rows for o in one.ill})

    def cell(one: Judged, name: str) -> str:
        dice = [float(o.dice) for o in one.ill if o.dice is not None and o.cancer_type == name]
        return interval(bootstrap(np.array(dice))) if dice else NONE

    shown = [one for one in rows if one.counts and one.ill and one.ill[0].dice is not None]
    numbers = {name: max(sum(o.cancer_type == name for o in one.ill) for one in shown) for name in types}
    return Table(
        "types",
        f"Dice by cancer type: {data}.",
        ("method", *(f"{name}, {numbers[name]}" for name in types)),
        tuple((one.title, *(cell(one, name) for name in types)) for one in shown),
        ("Mean [95 % interval, bootstrap over patients].",),
    )


def by_size(rows: Sequence[Judged], data: str) -> Table:
    """Share of the lesions that the mask overlaps, by their area."""
    classes = list(itertools.pairwise(AREAS))

    def cell(one: Judged, low: float, high: float) -> str:
        hits, count = results.lesion_sensitivity(one.outcomes, low, high)
        return percent(wilson(hits, count)) if count else NONE

    shown = [one for one in rows if one.counts and any(o.overlapped is not None for o in one.ill)]
    return Table(
        "sizes",
        f"Lesions that the mask overlaps, by their area: {data}.",
        (
            "method",
            *(f"{low:g} to {high:g} cm², %" if np.isfinite(high) else f"≥ {low:g} cm², %" for low, high in classes),
        ),
        tuple((one.title, *(cell(one, low, high) for low, high in classes)) for one in shown),
        (
            "Components of the expert's mask in the projection, lesions of one patient counted one by one [Wilson's "
            "95 % interval, which takes them for independent].",
        ),
    )


def cost(study: MipStudy, rows: Sequence[Judged], data: str) -> Table:
    """What annotation and training cost, beside the Dice."""
    patients = patients_of(study)
    lesions = {o.name: o.lesions for one in rows for o in one.ill}
    clicks = round(patients * float(np.mean(list(lesions.values())))) if lesions else 0
    amounts = {
        "nothing": ("nothing", 0.0),
        "type": (f"{patients} types", 0.0),
        "type, one click": (f"{patients} clicks and types", patients * CLICK_SECONDS),
        "type, all clicks": (f"{clicks} clicks, {patients} types", clicks * CLICK_SECONDS),
    }
    masks = (f"{patients} full masks, {clicks} lesions", clicks * OUTLINE_SECONDS)

    def row(one: Judged) -> tuple[str, ...]:
        seconds = study.seconds(one.system.name)
        dice = [float(o.dice) for o in one.ill if o.dice is not None] if one.counts else []
        amount, work = amounts.get(one.system.supervision, masks)
        time = NONE if seconds is None else f"{seconds / 60:.1f}"
        return one.title, amount, f"{work / 3600:.1f}", time, f"{np.mean(dice):.2f}" if dice else NONE

    return Table(
        "cost",
        f"Annotation and training of a fold: {data}.",
        ("method", "annotated", "hours of a reader", "CPU minutes", "Dice"),
        tuple(row(one) for one in rows),
        (
            f"Hours of a reader are not measured: {CLICK_SECONDS:g} s a click, {OUTLINE_SECONDS:g} s an outlined "
            "lesion, and no time to look, are assumed. CPU time of one process to learn and to predict the "
            "fold's people, mean over the folds; the network of CAMs alone counts there, and not with the two systems "
            "that use it, too.",
            *(f"{line[:1].upper()}{line[1:]}." for line in study.log("unet")),
        ),
    )


def who(rows: Sequence[Judged]) -> Table:
    """The systems: supervision, input at test time, reference."""
    return Table(
        "systems",
        "The systems.",
        ("method", "learns from, of each patient", "given at test time", "what it is"),
        tuple((o.system.title, o.system.supervision, o.system.test_input, o.system.reference) for o in rows),
    )
