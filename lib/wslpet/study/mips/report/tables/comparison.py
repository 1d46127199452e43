"""The tables that compare all systems: outlines, finding lesions, people with a lesion and cancer types."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wslpet.analysis.overlap import STRICT_IOU
from wslpet.analysis.statistics import bootstrap
from wslpet.study.mips import results
from wslpet.study.mips.judging import WITHIN_MM
from wslpet.study.mips.report.tables.parts import NONE, NOT_LEARNED, Table, interval, notes_of, percent, title_of
from wslpet.study.mips.results import FALSE_PLACES, SENSITIVITY, Judged
from wslpet.study.mips.study import REFERENCE


def outlines(rows: Sequence[Judged], data: str, tests: int, smallest_mm2: float) -> Table:
    """Dice of all lesions."""
    return Table(
        "outlines",
        f"Outlines of all lesions, one view: {data}.",
        ("method", "learned from", "given at test time", "Dice", "median", "p", "effect", "false parts a patient"),
        tuple(_outline_row(one) for one in rows if one.ill and one.ill[0].dice is not None),
        (
            "Dice of the mask and the expert's, all lesions of a patient together: mean [95 % interval, bootstrap over "
            f"patients]. p: Wilcoxon's signed-rank test against {title_of(REFERENCE)}, adjusted by Holm's method for "
            f"the {tests} tests of the first three tables. Effect: matched-pairs rank-biserial correlation, positive "
            "where the row is ahead. False parts: components of the mask that overlap no lesion, mean.",
            *([f"Components below {smallest_mm2:g} mm² are left out of every mask."] if smallest_mm2 else []),
            *notes_of(rows),
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
            f"map that finds the lesions within {WITHIN_MM:.0f} mm. p: McNemar's exact test of the strongest place "
            f"against {title_of(REFERENCE)}, adjusted for the {tests} tests of the first three tables; difference: of "
            "the shares.",
            *notes_of(rows),
        ),
    )


def _finding_row(one: Judged) -> tuple[str, ...]:
    if not one.counts:
        return (one.title, NOT_LEARNED, *[NONE] * (4 + len(FALSE_PLACES)))
    return (
        one.title,
        percent(results.share([o.strongest_place for o in one.ill])),
        one.p("strongest_place"),
        one.effect("strongest_place", "+.0%"),
        percent(results.share([o.detected for o in one.ill])),
        percent(results.share([o.detected_strictly for o in one.ill])),
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
            f"test against {title_of(REFERENCE)}, adjusted for the {tests} tests of the first three tables. Type: "
            f"share of the patients whose type is right [Wilson's]; the most frequent type has {commonest:.0%} of "
            "them.",
        ),
    )


def _presence_row(one: Judged) -> tuple[str, ...]:
    types = percent(results.share([o.type_right for o in one.ill]))
    if not one.system.tells_presence:
        return (one.title, *[NONE] * 4, types)
    if len({o.score for o in one.outcomes}) == 1:
        return (one.title, "one score for all", *[NONE] * 3, types)
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
