"""Tables of a study: tables 1 and 2 of the paper with ours beside them; intervals, tests, errors in ml and mm."""

from __future__ import annotations

import numpy as np

from wslpet.analysis.overlap import STRICT_IOU
from wslpet.analysis.statistics import bootstrap
from wslpet.study.design.paper import NUMBER_OF_TABLE, OUTCOME, PAPER, QUANTITIES
from wslpet.study.execution.stability import EXCELLENT, GOOD
from wslpet.study.results.outcomes import Outcome, Shuffled
from wslpet.study.results.results import Results, SystemResults
from wslpet.study.results.text_table import NONE, Table, interval, percent, shown_p, spread

NOT_LEARNED = "did not learn the types"
HEADINGS = {
    "dice": "Dice",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "auc": "AUC",
}


def all_tables(results: Results, data: str) -> list[Table]:
    """All tables, the paper's two first; `data` describes the cohort."""
    types = sorted(results.study.plan.types, key=lambda name: (NUMBER_OF_TABLE.get(name, 9), name))
    tables = [papers_table(results, name, data) for name in types]
    tables += [delineation(results, data)]
    tables += [outcome(results, name, data) for name in types if _with_outcome(results, name)]
    tables += [leakage(results, data)] if results.shuffled else []
    tables += [stability(results, data)] if results.stability else []
    return [*tables, who(results)]


def papers_table(results: Results, cancer_type: str, data: str) -> Table:
    """Table 1 or 2 of the paper beside ours: Dice and outcome of one cancer type, mean ± SD over the folds."""
    theirs = PAPER.get(cancer_type, {})
    shown = [one for one in results.systems.values() if one.system.segments or cancer_type in one.outcomes]
    rows = []
    for one in shown:
        cells = [one.system.title]
        for quantity in QUANTITIES:
            paper = theirs.get(one.system.paper, {}).get(quantity)
            cells += [NONE if paper is None else spread(*paper), _cell(results, one, cancer_type, quantity)]
        rows.append(tuple(cells))
    head = ["method", *(f"{HEADINGS[q]}, {whose}" for q in QUANTITIES for whose in ("paper", "here"))]
    what = OUTCOME.get(cancer_type, "outcome")
    number = NUMBER_OF_TABLE.get(cancer_type)
    title = f"Table {number}. " if number else ""
    reasons = {one.outcomes[cancer_type] for one in shown if isinstance(one.outcomes.get(cancer_type), str)}
    return Table(
        f"{cancer_type}-paper",
        f'{title}Segmentation and {what}, {cancer_type}. "Here": {data}.',
        tuple(head),
        tuple(rows),
        (
            f"Mean ± SD over {results.study.plan.folds} folds. The paper's figures are of its own patients, so columns "
            "compare methods within, not across.",
            *(f"No outcome: {reason}." for reason in sorted(map(str, reasons))),
        ),
    )


def _cell(results: Results, one: SystemResults, cancer_type: str, quantity: str) -> str:
    if not one.learned_types:
        return NOT_LEARNED if quantity == "dice" else NONE
    if quantity == "dice":
        dice = one.dice(cancer_type)
        return spread(float(dice.mean()), results.fold_sd(dice, cancer_type)) if one.system.segments else NONE
    found = one.outcomes.get(cancer_type)
    if not isinstance(found, Outcome):
        return NONE
    return spread(found.performance.fold_mean[quantity], found.performance.fold_sd[quantity])


def delineation(results: Results, data: str) -> Table:
    """Detection and delineation of all cancer types together."""
    segmenting = [name for name, one in results.systems.items() if one.system.segments]
    adjusted = results.adjusted_dice_p()
    return Table(
        "delineation",
        f"Detection and delineation, all types: {data}.",
        (
            "method",
            "given at test time",
            "Dice",
            "p",
            "effect",
            "detected %",
            "strictly %",
            "seed hit %",
            "HD95 mm",
            "false positive ml",
            "false negative ml",
            "type %",
        ),
        tuple(_delineation_row(results, name, adjusted.get(name)) for name in segmenting),
        (
            "Mean [95 % interval, bootstrap over patients]; proportions have Wilson's interval; HD95 is the median, "
            "inf where most masks are empty. p: Wilcoxon's signed-rank test on the patients' Dice, against ours, "
            f"adjusted for the {len(adjusted)} tests of this column by Holm's method. Effect: matched-pairs "
            "rank-biserial correlation, positive where the row is ahead of ours. Detected: the mask overlaps the "
            "expert's, in one voxel at least; strictly: its centroid lies in it, and the intersection over union is "
            f"at least {STRICT_IOU}. Given at test time: beside the scan.",
            *_notes_on_types(results),
        ),
    )


def _delineation_row(results: Results, name: str, p: float | None) -> tuple[str, ...]:
    one, seed = results.systems[name], results.study.plan.seed
    effect = results.dice_effect(name)
    types = percent(one.each(lambda m: m.predicted == m.cancer_type)) if one.names_types else NONE
    if not one.learned_types:
        return (one.system.title, one.system.test_input, NOT_LEARNED, *[NONE] * 8, types)
    return (
        one.system.title,
        one.system.test_input,
        interval(bootstrap(one.dice(), seed=seed)),
        shown_p(p),
        NONE if effect is None else f"{effect:+.2f}",
        percent(one.each(lambda m: m.detected)),
        percent(one.each(lambda m: m.detected_strictly)),
        percent(one.each(lambda m: m.localisation_rate)),
        f"{np.median(one.each(lambda m: m.hd95_mm)):.0f}",
        interval(bootstrap(one.each(lambda m: m.false_positive_ml), seed=seed), ".1f"),
        interval(bootstrap(one.each(lambda m: m.false_negative_ml), seed=seed), ".1f"),
        types,
    )


def _notes_on_types(results: Results) -> list[str]:
    unlearned = [one for one in results.systems.values() if not one.learned_types]
    if not unlearned:
        return []
    titles = ", ".join(one.system.title for one in unlearned)
    return [
        f"{titles}: the maps are those of the predicted type, and the interval of the type accuracy "
        f"contains the share of the most frequent type, {100 * unlearned[0].commonest_share:.0f} %: {NOT_LEARNED}, "
        "so the masks say nothing of the method.",
    ]


def outcome(results: Results, cancer_type: str, data: str) -> Table:
    """Outcome prediction of one type, out of fold, with intervals and DeLong's test."""
    rows, adjusted = [], results.adjusted_auc_p(cancer_type)
    for name, one in results.systems.items():
        found = one.outcomes.get(cancer_type)
        if isinstance(found, Outcome):
            pooled = [interval(found.performance.pooled[quantity]) for quantity in QUANTITIES[1:]]
            rows.append((one.system.title, *pooled, shown_p(adjusted.get(name))))
    good = next(
        f.outcomes for one in results.systems.values() if isinstance(f := one.outcomes.get(cancer_type), Outcome)
    )
    return Table(
        f"{cancer_type}-outcome",
        f"{OUTCOME.get(cancer_type, 'outcome').capitalize()}, {cancer_type}: {data}, {len(good)} with a known outcome, "
        f"{int(good.sum())} of them good.",
        ("method", *(HEADINGS[quantity] for quantity in QUANTITIES[1:]), "p"),
        tuple(rows),
        (
            "All patients pooled, each predicted by a model that never saw it [95 % interval: DeLong's of the AUC, "
            "Wilson's of the others]. p: DeLong's test of the AUC, against ours, adjusted for the "
            f"{len(adjusted)} tests of this column by Holm's method.",
        ),
    )


def leakage(results: Results, data: str) -> Table:
    """Permutation test for leakage."""
    rows = []
    tested = results.systems[results.leakage_system or ""]
    for cancer_type, found in results.shuffled.items():
        if not isinstance(found, Shuffled):
            rows.append((cancer_type, NONE, NONE, NONE, found))
            continue
        low, high = np.percentile(found.aucs, [2.5, 97.5])
        true, observed = tested.outcomes.get(cancer_type), NONE
        if isinstance(true, Outcome):
            value = true.performance.fold_mean["auc"]
            observed = f"{value:.2f} (p {found.p_of(value):.3f})"
        verdict = "0.5 is inside" if found.holds else "**0.5 is outside**"
        rows.append((cancer_type, interval(found.mean), f"{low:.2f}–{high:.2f}", observed, verdict))
    return Table(
        "leakage",
        f'Outcomes shuffled {results.study.plan.shuffles} times, features of "{tested.system.title}": {data}.',
        ("type", "mean AUC", "95 % of the AUCs", "AUC of the true outcomes", ""),
        tuple(rows),
        (
            "Mean AUC of the folds; outcomes are shuffled within each. With nothing to find, it is 0.5 unless "
            "something leaks from test to training. p: permutation test.",
        ),
    )


def stability(results: Results, data: str) -> Table:
    """Stability of features under another click or another threshold."""
    found = results.stability
    assert found is not None
    what = {"seed": "another annotator's click, ours", "threshold": "37, 41 or 45 % at the click"}
    rows = []
    for moved, values in found.icc.items():
        ordered = sorted((v, k) for k, v in values.items() if np.isfinite(v))
        worst = ", ".join(f"{name} {value:.2f}" for value, name in ordered[:3])
        rows.append(
            (what[moved], f"{100 * found.share(moved, EXCELLENT):.0f}", f"{100 * found.share(moved, GOOD):.0f}", worst)
        )
    return Table(
        "stability",
        f"Stability of {len(next(iter(found.icc.values())))} features, {found.patients} patients: {data}.",
        ("what moves", f"ICC ≥ {EXCELLENT:.2f}, % of features", f"ICC ≥ {GOOD:.2f}, %", "least stable"),
        tuple(rows),
        ("ICC(2,1), absolute agreement. stability.csv has every value.",),
    )


def who(results: Results) -> Table:
    """The systems: supervision, input at test time, reference."""
    rows = [
        (one.system.title, one.system.supervision, one.system.test_input, one.system.reference)
        for one in results.systems.values()
    ]
    return Table(
        "systems",
        "The systems.",
        ("method", "learns from, for each patient", "given at test time", "what it is"),
        tuple(rows),
    )


def _with_outcome(results: Results, cancer_type: str) -> bool:
    return any(isinstance(one.outcomes.get(cancer_type), Outcome) for one in results.systems.values())
