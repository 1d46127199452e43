"""The report of a study on MIPs: one HTML page, tables, figures of curves; a CSV of all people stays in its folder."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from wslpet.study.mips.report.cases import draw_cases
from wslpet.study.mips.report.failures import failures
from wslpet.study.mips.report.figures import draw_all
from wslpet.study.mips.report.tables import checks, comparison, details
from wslpet.study.mips.report.tables.parts import Table
from wslpet.study.mips.results import Judged, judged
from wslpet.study.mips.study import REFERENCE, MipStudy, plan_of
from wslpet.study.mips.systems.registry import is_control, system_of
from wslpet.study.report.report import Pages, made_by

TITLE = "WSL-PET: the study on MIPs of real people"
SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Outlines", ("outlines", "dice.png", "types")),
    ("Finding", ("finding", "froc.png", "sizes", "failures")),
    ("Lesion or none, cancer type", ("presence", "reliability.png")),
    ("Checks", ("control", "repeats")),
    ("How many annotated patients, and what it costs", ("curve", "curve.png", "cost")),
    ("The systems", ("systems",)),
)
# What is left out of people.csv: long lists.
LISTS = ("places", "areas", "overlapped", "false_at", "strongest")


def described(study: MipStudy) -> str:
    """The cohort in words."""
    types = Counter(person.cancer_type for person in study.cohort.people if person.cancer_type is not None)
    parts = ", ".join(f"{count} {name}" for name, count in sorted(types.items()))
    well = int((~study.cohort.ill).sum())
    return f"coronal MIPs of {sum(types.values())} patients ({parts}) and {well} lesion-free people"


def write_mip_report(study: MipStudy, command: Sequence[str]) -> Path:
    """Write report.html, tables.md, tables.tex, people.csv and figures/ into the study's folder.

    `cases/`, which has pictures of people, is no part of the report.
    """
    data, figures = described(study), study.folder / "figures"
    figures.mkdir(exist_ok=True)
    rows = judged(study)
    drawn = draw_all(study, rows, figures, data)
    _write_people(study)
    draw_cases(study, study.folder / "cases")
    note = (
        f"Measured on {data}, in {study.folds} folds that are the same for all systems. One view only: no depth, no "
        "volume in ml, no HD95. No outcome is known of them, so prediction of outcome is on phantoms."
    )
    pages = Pages(TITLE, note, SECTIONS, all_tables(study, rows, data), drawn, system_of(REFERENCE).title)
    return pages.write(study.folder, made_by(plan_of(study), command))


def all_tables(study: MipStudy, rows: Sequence[Judged], data: str) -> list[Table]:
    """All tables that the results allow; `data` describes the cohort."""
    tests = sum(len(one.adjusted) for one in rows)
    ours = [one for one in rows if one.system.name == REFERENCE]
    controls = [name for name in study.names if is_control(name) and study.outcomes(name)]
    tables = [
        comparison.outlines(rows, data, tests, study.task.smallest_mm2),
        comparison.finding(rows, data, tests),
        comparison.presence(rows, data, tests),
        details.by_type(rows, data),
        details.by_size(rows, data),
        *(failures(one, study.cohort, data) for one in ours),
        checks.shuffled(study, controls, data) if controls else None,
        checks.repeats(study, data),
        checks.curve(study, data),
        details.cost(study, rows, data),
        details.who(rows),
    ]
    return [table for table in tables if table is not None]


def _write_people(study: MipStudy) -> None:
    rows = [
        {"system": name, **{key: value for key, value in one.to_json().items() if key not in LISTS}}
        for name in study.names
        for one in study.outcomes(name)
    ]
    with open(study.folder / "people.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["system"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
