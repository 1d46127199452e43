"""Failures by kind: where in the body a system takes something else for a lesion, and which lesions it misses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from wslpet.method.normal.frame import GRID_MM
from wslpet.study.mips.cohort import EIGHT_NEIGHBOURS, Cohort, truth_of
from wslpet.study.mips.judging import Outcome
from wslpet.study.mips.report.tables.parts import NONE, Table
from wslpet.study.mips.results import Judged


@dataclass(frozen=True)
class Region:
    """A box in the frame of the body, mm: rows from the vertex, columns from the patient's right; ends excluded."""

    name: str
    rows: tuple[float, float]
    columns: tuple[float, float]

    def holds(self, row: float, column: float) -> bool:
        """Whether a place, mm, lies in the box."""
        return self.rows[0] <= row < self.rows[1] and self.columns[0] <= column < self.columns[1]


# Read from the mean of the lesion-free people in the frame. The first box that holds a place counts.
REGIONS = (
    Region("brain", (0, 150), (170, 340)),
    Region("neck and shoulders: brown fat, tonsils, thyroid", (150, 330), (0, 512)),
    Region("heart", (330, 460), (260, 352)),
    Region("liver, kidneys, stomach", (380, 560), (90, 400)),
    Region("lungs, mediastinum", (330, 460), (90, 400)),
    Region("bowel", (560, 660), (90, 400)),
    Region("bladder", (660, 800), (200, 312)),
)
ELSEWHERE = "elsewhere: arms, hips, legs"
# A lesion below this area, cm², is small.
SMALL_CM2 = 0.5


def region_at(cohort: Cohort, k: int, pixel: tuple[float, float]) -> str:
    """Name of the region that a pixel (row, column) of a person's image lies in."""
    row, column = (cohort.frames[k].point(pixel, cohort.people[k].image.spacing) + 0.5) * GRID_MM
    return next((region.name for region in REGIONS if region.holds(row, column)), ELSEWHERE)


@dataclass(frozen=True)
class Failures:
    """Failures of a system by region.

    Parameters
    ----------
    misplaced : patients whose strongest place lies in no lesion, by that place.
    false_parts : components of the masks that overlap no lesion, by their centroid: of patients, of lesion-free people.
    missed, missed_small : lesions that the mask does not overlap, by their centroid: all, those below `SMALL_CM2`.
    lesions, small : all lesions, those below `SMALL_CM2`.
    """

    misplaced: Counter[str]
    false_parts: tuple[Counter[str], Counter[str]]
    missed: Counter[str]
    missed_small: Counter[str]
    lesions: Counter[str]
    small: Counter[str]


def failures_of(outcomes: Sequence[Outcome], cohort: Cohort) -> Failures:
    """Count the failures of a system."""
    numbers = {person.name: k for k, person in enumerate(cohort.people)}
    found = Failures(Counter(), (Counter(), Counter()), Counter(), Counter(), Counter(), Counter())
    for one in outcomes:
        k = numbers[one.name]
        if one.strongest_place is False and one.strongest is not None:
            found.misplaced[region_at(cohort, k, one.strongest)] += 1
        for pixel in one.false_at or ():
            found.false_parts[0 if one.ill else 1][region_at(cohort, k, pixel)] += 1
        if one.ill and one.overlapped is not None:
            _count_lesions(one, cohort, k, found)
    return found


def _count_lesions(one: Outcome, cohort: Cohort, k: int, found: Failures) -> None:
    truth = truth_of(cohort.people[k])
    labels, count = ndimage.label(truth, EIGHT_NEIGHBOURS)  # numbered as in `judge`
    centres = ndimage.center_of_mass(truth, labels, range(1, count + 1))
    for centre, area, covered in zip(centres, one.areas or (), one.overlapped or (), strict=True):
        region, small = region_at(cohort, k, centre), area < SMALL_CM2
        found.lesions[region] += 1
        found.small[region] += small
        found.missed[region] += covered == 0
        found.missed_small[region] += small and covered == 0


def failures(one: Judged, cohort: Cohort, data: str) -> Table | None:
    """Failures of one system, a row a region; None where the places were not kept."""
    outcomes = [o for o in one.outcomes if o.false_at is not None]
    if not outcomes:
        return None
    found = failures_of(outcomes, cohort)
    names = [*(region.name for region in REGIONS), ELSEWHERE]
    patients, well = (np.array([o.ill is ill for o in outcomes]).sum() for ill in (True, False))
    rows = [(name, *_cells(found, [name])) for name in names]
    return Table(
        "failures",
        f"Failures of {one.title}, by place in the body: {data}.",
        (
            "place",
            f"strongest place in no lesion, of {patients} patients",
            "false parts, patients",
            f"false parts, {well} lesion-free people",
            "lesions missed",
            f"of them below {SMALL_CM2:g} cm²",
        ),
        (*rows, ("all", *_cells(found, names))),
        (
            "A place belongs to the first of these boxes in the frame of the body that holds it (mm from the vertex, "
            "mm from the right edge of the frame, which is 512 wide): "
            + "; ".join(f"{r.name.partition(':')[0]} {_range(r.rows)}, {_range(r.columns)}" for r in REGIONS)
            + ". In a projection an organ and what lies in front of it share a place, so a box says where, and not "
            "what. False parts: components of the mask that overlap no lesion, by their centroid. Lesions missed: "
            "those that the mask does not overlap, by their centroid, of all there.",
        ),
    )


def _cells(found: Failures, names: Sequence[str]) -> tuple[str, ...]:
    def total(counter: Counter[str]) -> int:
        return sum(counter[name] for name in names)

    def of(missed: Counter[str], lesions: Counter[str]) -> str:
        return f"{total(missed)} of {total(lesions)}" if total(lesions) else NONE

    counts = (found.misplaced, *found.false_parts)
    return (*(str(total(c)) for c in counts), of(found.missed, found.lesions), of(found.missed_small, found.small))


def _range(limits: tuple[float, float]) -> str:
    return f"{limits[0]:g}–{limits[1]:g}"
