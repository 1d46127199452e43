"""Tables of checks: labels shuffled before training, other random seeds, fewer clicked patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wslpet.analysis.statistics import Estimate
from wslpet.study.mips import results
from wslpet.study.mips.judging import Outcome
from wslpet.study.mips.report.tables.parts import NONE, Table, interval, percent
from wslpet.study.mips.study import REPEATED, MipStudy
from wslpet.study.mips.systems.registry import is_control, system_of

# What other folds and seeds are judged by.
_QUANTITIES = ("Dice", "strongest place", "AUC", "type")


def shuffled(study: MipStudy, names: Sequence[str], data: str) -> Table:
    """Controls: systems that learned from shuffled labels and are judged by them."""
    runs = {name: study.single_runs(name) for name in names}
    everybody = [one for own in next(iter(runs.values())) for one in own]
    types = {o.cancer_type for o in everybody if o.ill}
    return Table(
        "control",
        f"Labels shuffled: {data}.",
        ("method", "folds", "type %", "AUC", "AUCs from–to", ""),
        tuple((system_of(name).title, str(len(own)), *_control_cells(own)) for name, own in runs.items()),
        (
            "Labels of everybody are shuffled, once in each repeat; they are learned from, and judged by. Type: of all "
            f"patients together [Wilson's 95 % interval]; a guess is right in {1 / len(types):.0%} of them, or, of the "
            f"most frequent type, in {results.commonest_share(everybody):.0%}. AUC: mean over the folds of all repeats "
            "[95 % interval, Student's t]; it is 0.5 unless labels of the judged leak into the training. What a system "
            "brings along from elsewhere, such as shipped weights, is not shuffled.",
        ),
    )


def _control_cells(runs: Sequence[Sequence[Outcome]]) -> tuple[str, ...]:
    everybody = [one for own in runs for one in own]
    told = "**types are told**" if results.learned_types(everybody) else "types at chance"
    right = percent(results.share([o.type_right for o in everybody if o.ill]))
    aucs = [results.auc_of(own).value for own in runs]
    span = f"{min(aucs):.2f}–{max(aucs):.2f}"
    if len(runs) < 2:
        return right, NONE, span, f"{told}; one fold is too few for an AUC"
    mean = results.mean_of_runs(aucs)
    inside = "AUC 0.5 is inside" if mean.low <= 0.5 <= mean.high else "**AUC 0.5 is outside**"
    return right, interval(mean), span, f"{told}, {inside}"


def repeats(study: MipStudy, data: str) -> Table | None:
    """Systems with other folds and random seeds; None where each learned once."""
    rows = [
        row for name in REPEATED if name in study.names and not is_control(name) for row in _repeat_rows(study, name)
    ]
    if not rows:
        return None
    return Table(
        "repeats",
        f"Other folds and random seeds: {data}.",
        ("method", "seed", "patients", *_QUANTITIES, "inside the first one's intervals"),
        tuple(rows),
        (
            "Everybody is judged once with each seed; where folds are not done yet, the first seed's figures of the "
            "same people stand above, and it is their intervals that count. Intervals as in the tables above. A system "
            "that learns nothing from the cohort is the same with any folds and seeds, and has no row.",
        ),
    )


def _repeat_rows(study: MipStudy, name: str) -> list[tuple[str, ...]]:
    found = [study.outcomes(name, repeat=repeat) for repeat in range(study.repeats)]
    if not found[0] or not any(found[1:]):
        return []
    title, seed = system_of(name).title, study.task.effort.seed
    rows = [(title, str(seed), *_repeat_cells(found[0]), NONE)]
    for number, one in enumerate(found[1:], start=1):
        people = {o.name for o in one}
        first = [o for o in found[0] if o.name in people]
        if people and len(first) < len(found[0]):
            rows.append((title, str(seed), *_repeat_cells(first), "the same people"))
        if people:
            rows.append((title, str(seed + number), *_repeat_cells(one), _inside(_estimates(one), _estimates(first))))
    return rows


def _repeat_cells(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    return str(sum(o.ill for o in outcomes)), *_shown(_estimates(outcomes))


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
