"""Tables of a study on MIPs: finding, outlines, people with a lesion, size of lesions, types, control, cost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from wslpet.analysis.overlap import STRICT_IOU
from wslpet.analysis.statistics import Estimate, bootstrap, wilson
from wslpet.study.mips import results
from wslpet.study.mips.judging import WITHIN_MM, Outcome
from wslpet.study.mips.results import FALSE_PLACES, SENSITIVITY, Judged, judged
from wslpet.study.mips.study import CONTROL, REFERENCE, MipStudy
from wslpet.study.mips.systems.registry import system_of
from wslpet.study.results.tables import NOT_LEARNED
from wslpet.study.results.text_table import NONE, Table, interval

# Areas of lesions, cm², that sensitivity is told of.
AREAS = (0.0, 0.5, 2.0, 10.0, np.inf)


def all_tables(study: MipStudy, data: str) -> list[Table]:
    """All tables; `data` describes the cohort."""
    rows = judged(study)
    tests = sum(len(one.adjusted) for one in rows)
    tables = [
        outlines(rows, data, tests, study.task.smallest_mm2),
        finding(rows, data, tests),
        presence(rows, data, tests),
    ]
    tables += [by_type(rows, data), by_size(rows, data)]
    control = study.outcomes(CONTROL) if CONTROL in study.names else []
    tables += [shuffled(control, data)] if control else []
    return [*tables, cost(study, rows, data), who(rows)]


def outlines(rows: Sequence[Judged], data: str, tests: int, smallest_mm2: float) -> Table:
    """Dice of all lesions."""
    return Table(
        "outlines",
        f"Outlines of all lesions, one view: {data}.",
        ("method", "learned from", "given at test time", "Dice", "median", "p", "effect", "false parts a patient"),
        tuple(_outline_row(one) for one in rows if one.ill and one.ill[0].dice is not None),
        (
            "Dice of the mask and the expert's, all lesions of a patient together: mean [95 % interval, bootstrap over "
            f"patients]. p: Wilcoxon's signed-rank test against {_title(REFERENCE)}, adjusted by Holm's method for the "
            f"{tests} tests of the first three tables. Effect: matched-pairs rank-biserial correlation, positive where "
            "the row is ahead. False parts: components of the mask that overlap no lesion, mean.",
            *([f"Components below {smallest_mm2:g} mm² are left out of every mask."] if smallest_mm2 else []),
            *_notes(rows),
        ),
    )


def _outline_row(one: Judged) -> tuple[str, ...]:
    start = (one.title, one.system.supervision, one.system.test_input)
    if not one.counts:
        return (*start, NOT_LEARNED, *[NONE] * 4)
    dice = [float(o.dice) for o in one.ill if o.dice is not None]
    parts = [o.false_parts for o in one.ill if o.false_parts is not None]
    return (
        *start,
        interval(bootstrap(np.array(dice))),
        f"{np.median(dice):.2f}",
        one.p("dice"),
        one.effect("dice", "+.2f"),
        f"{np.mean(parts):.1f}" if parts else NONE,
    )


def finding(rows: Sequence[Judged], data: str, tests: int) -> Table:
    """Whether a lesion is found, by criteria of rising strictness, and how many of all lesions are."""
    return Table(
        "finding",
        f"Finding lesions, one view: {data}.",
        (
            "method",
            "strongest place %",
            "p",
            "difference",
            "detected %",
            "strictly %",
            *(f"lesions found at {false:g}" for false in FALSE_PLACES),
        ),
        tuple(_finding_row(one) for one in rows),
        (
            "Shares of the patients [Wilson's 95 % interval]. Strongest place: it lies within "
            f"{WITHIN_MM:.0f} mm of a lesion. Detected: the mask overlaps a lesion, in one pixel at least, as a large "
            "mask does easily. Strictly: the centroid of the mask's component at the strongest place lies in a lesion, "
            f"and the intersection over union of the masks is at least {STRICT_IOU}. Lesions found: share of all "
            "lesions at so many false places a person (lesion-free people too), a place being a local maximum of the "
            f"map. p: McNemar's exact test of the strongest place against {_title(REFERENCE)}, adjusted for the "
            f"{tests} tests of the first three tables; difference: of the shares.",
            *_notes(rows),
        ),
    )


def _finding_row(one: Judged) -> tuple[str, ...]:
    if not one.counts:
        return (one.title, NOT_LEARNED, *[NONE] * (4 + len(FALSE_PLACES)))
    return (
        one.title,
        _percent(results.share([o.strongest_place for o in one.ill])),
        one.p("strongest_place"),
        one.effect("strongest_place", "+.0%"),
        _percent(results.share([o.detected for o in one.ill])),
        _percent(results.share([o.detected_strictly for o in one.ill])),
        *(f"{results.sensitivity_at(one.outcomes, false):.2f}" for false in FALSE_PLACES),
    )


def presence(rows: Sequence[Judged], data: str, tests: int) -> Table:
    """People with a lesion against lesion-free people, and the cancer type."""
    commonest = results.commonest_share(rows[0].outcomes) if rows else 0.0
    return Table(
        "presence",
        f"Lesion or none, and cancer type: {data}.",
        ("method", "AUC", "p", "difference", f"specificity at {SENSITIVITY:.0%} sensitivity", "type %"),
        tuple(_presence_row(one) for one in rows if one.system.tells_presence or _names_types(one)),
        (
            "AUC of the score of a person, patients against lesion-free people [DeLong's 95 % interval]; p: DeLong's "
            f"test against {_title(REFERENCE)}, adjusted for the {tests} tests of the first three tables. Type: share "
            f"of the patients whose type is right [Wilson's]; the most frequent type has {commonest:.0%} of them.",
        ),
    )


def _presence_row(one: Judged) -> tuple[str, ...]:
    types = _percent(results.share([o.type_right for o in one.ill]))
    if not one.system.tells_presence:
        return (one.title, *[NONE] * 4, types)
    specificity = results.specificity(one.outcomes)
    return (
        one.title,
        interval(results.auc_of(one.outcomes)),
        one.p("auc"),
        one.effect("auc", "+.2f"),
        NONE if specificity is None else f"{specificity:.0%}",
        types,
    )


def _names_types(one: Judged) -> bool:
    return any(o.type_right is not None for o in one.ill)


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
        return _percent(wilson(hits, count)) if count else NONE

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


def shuffled(outcomes: Sequence[Outcome], data: str) -> Table:
    """Control: labels shuffled before training."""
    right = results.share([o.type_right for o in outcomes if o.ill])
    auc = results.auc_of(outcomes)
    verdict = "0.5 is inside" if auc.low <= 0.5 <= auc.high else "**0.5 is outside**"
    types = {o.cancer_type for o in outcomes if o.ill}
    return Table(
        "control",
        f"Labels shuffled before training, {system_of(CONTROL).title}: {data}.",
        ("people", "type %", "AUC", ""),
        ((f"{len(outcomes)}", _percent(right), interval(auc), verdict),),
        (
            f"With nothing to learn, a guess is right in {1 / len(types):.0%} (or, of the most frequent type, in "
            f"{results.commonest_share(outcomes):.0%}) of the patients, and the AUC is 0.5, unless something leaks "
            "from test to training.",
        ),
    )


def cost(study: MipStudy, rows: Sequence[Judged], data: str) -> Table:
    """What annotation and training cost, beside the Dice."""
    parts = study.cohort.parts(study.folds, study.task.effort.seed)
    ill = study.cohort.ill
    patients = round(float(np.mean([ill[a].sum() for a, _ in parts])))
    lesions = {o.name: o.lesions for one in rows for o in one.ill}
    clicks = round(patients * float(np.mean(list(lesions.values())))) if lesions else 0
    amounts: dict[str, str] = {
        "nothing": "nothing",
        "type": f"{patients} types",
        "type, one click": f"{patients} clicks and types",
        "type, all clicks": f"{clicks} clicks, {patients} types",
    }

    def row(one: Judged) -> tuple[str, ...]:
        seconds = study.seconds(one.system.name)
        dice = [float(o.dice) for o in one.ill if o.dice is not None] if one.counts else []
        amount = amounts.get(one.system.supervision, f"{patients} full masks, {clicks} lesions")
        time = NONE if seconds is None else f"{seconds / 60:.1f}"
        return one.title, amount, time, f"{np.mean(dice):.2f}" if dice else NONE

    return Table(
        "cost",
        f"Annotation and training of a fold: {data}.",
        ("method", "annotated patients", "CPU minutes", "Dice"),
        tuple(row(one) for one in rows),
        (
            "CPU time of one process to learn and to predict the fold's people, mean over the folds.",
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


def _title(name: str) -> str:
    return f'"{system_of(name).title}"'


def _percent(estimate: Estimate | None) -> str:
    if estimate is None:
        return NONE
    return f"{100 * estimate.value:.0f} [{100 * estimate.low:.0f}–{100 * estimate.high:.0f}]"


def _notes(rows: Sequence[Judged]) -> list[str]:
    unlearned = [one.system.title for one in rows if not one.counts]
    if not unlearned:
        return []
    return [
        f"{', '.join(unlearned)}: the maps are those of the predicted type, and the interval of the type accuracy "
        f"contains the share of the most frequent type: {NOT_LEARNED}, so the masks say nothing of the method."
    ]
