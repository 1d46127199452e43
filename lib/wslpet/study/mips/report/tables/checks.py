"""Tables of checks: labels shuffled before training, other random seeds, fewer clicked patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wslpet.analysis.statistics import Estimate
from wslpet.study.mips import results
from wslpet.study.mips.judging import Outcome
from wslpet.study.mips.report.tables.parts import NONE, Table, interval, percent
from wslpet.study.mips.study import REPEATED, MipStudy
from wslpet.study.mips.systems.registry import system_of

# What other folds and seeds are judged by.
_QUANTITIES = ("Dice", "strongest place", "AUC", "type")


def shuffled(study: MipStudy, names: Sequence[str], data: str) -> Table:
    """Controls: systems that learned from shuffled labels."""
    found = {name: study.outcomes(name) for name in names}
    some = next(iter(found.values()))
    types = {o.cancer_type for o in some if o.ill}
    return Table(
        "control",
        f"Labels shuffled before training: {data}.",
        ("method", "people", "type %", "AUC", ""),
        tuple((system_of(name).title, str(len(own)), *_control_cells(own)) for name, own in found.items()),
        (
            f"With nothing to learn, a guess is right in {1 / len(types):.0%} (or, of the most frequent type, in "
            f"{results.commonest_share(some):.0%}) of the patients [Wilson's 95 % interval], and the AUC [DeLong's] is "
            "0.5, unless something leaks from test to training. What a system brings along from elsewhere, such as "
            "shipped weights, is not shuffled.",
        ),
    )


def _control_cells(outcomes: Sequence[Outcome]) -> tuple[str, str, str]:
    auc = results.auc_of(outcomes)
    told = "**types are told**" if results.learned_types(outcomes) else "types at chance"
    inside = "AUC 0.5 is inside" if auc.low <= 0.5 <= auc.high else "**AUC 0.5 is outside**"
    return percent(results.share([o.type_right for o in outcomes if o.ill])), interval(auc), f"{told}, {inside}"


def repeats(study: MipStudy, data: str) -> Table | None:
    """Systems with other folds and random seeds; None where each learned once."""
    rows = [row for name in REPEATED if name in study.names for row in _repeat_rows(study, name)]
    if not rows:
        return None
    return Table(
        "repeats",
        f"Other folds and random seeds: {data}.",
        ("method", "seed", "patients", *_QUANTITIES, "inside the first one's intervals"),
        tuple(rows),
        (
            "Everybody is judged once with each seed; where folds are not done yet, the number of patients says so. "
            "Intervals as in the tables above. A system that learns nothing from the cohort is the same with any folds "
            "and seeds, and has no row.",
        ),
    )


def _repeat_rows(study: MipStudy, name: str) -> list[tuple[str, ...]]:
    found = [study.outcomes(name, repeat=repeat) for repeat in range(study.repeats)]
    if not found[0] or not any(found[1:]):
        return []
    first, rows = _estimates(found[0]), []
    for number, one in enumerate(found):
        if one:
            own = _estimates(one)
            inside = _inside(own, first) if number else NONE
            patients = str(sum(o.ill for o in one))
            rows.append((system_of(name).title, str(study.task.effort.seed + number), patients, *_shown(own), inside))
    return rows


def _estimates(outcomes: Sequence[Outcome]) -> dict[str, Estimate | None]:
    ill = [o for o in outcomes if o.ill]
    values = (
        results.mean([o.dice for o in ill]),
        results.share([o.strongest_place for o in ill]),
        results.auc_of(outcomes),
        results.share([o.type_right for o in ill]),
    )
    return dict(zip(_QUANTITIES, values, strict=True))


def _shown(estimates: dict[str, Estimate | None]) -> list[str]:
    return [NONE if one is None else interval(one) for one in estimates.values()]


def _inside(own: dict[str, Estimate | None], first: dict[str, Estimate | None]) -> str:
    outside = [
        name
        for name, one in first.items()
        if one is not None and (value := own[name]) is not None and not one.low <= value.value <= one.high
    ]
    return f"all but {', '.join(outside)}" if outside else "all"


def curve(study: MipStudy, data: str) -> Table | None:
    """Learning from fewer annotated patients; None where that was not done."""
    folds, names = study.curve_folds(), study.curve_systems()
    if not folds:
        return None
    people = study.outcomes(names[0], folds=folds)
    sizes = sorted({size for name in names for size in study.curve_sizes(name)})
    rows = []
    for size in (*sizes, 0):
        cells: list[str] = []
        for name in names:
            own = [o for o in study.outcomes(name, size, folds=folds) if o.ill]
            dice, place = results.mean([o.dice for o in own]), results.share([o.strongest_place for o in own])
            cells += [NONE if dice is None else interval(dice), percent(place)]
        rows.append((str(size or f"all, about {patients_of(study)}"), *cells))
    heads = [f"{system_of(name).title}, {what}" for name in names for what in ("Dice", "strongest place %")]
    return Table(
        "curve",
        f"Learning from fewer annotated patients: {data}.",
        ("annotated patients", *heads),
        tuple(rows),
        (
            f"Of the {sum(o.ill for o in people)} patients of {len(folds)} of the {study.folds} folds. All lesion-free "
            "people of the other folds are learned from as well. The patients of a smaller number are among those of a "
            "larger one.",
        ),
    )


def patients_of(study: MipStudy) -> int:
    """Patients to learn from in a fold, the mean."""
    parts = study.cohort.parts(study.folds, study.task.effort.seed)
    return round(float(np.mean([study.cohort.ill[learned].sum() for learned, _ in parts])))
