"""Which patients a training learns from, which choose its epoch, and which judge it.

A patient is assigned to judging once, by a hash of the patient's id: no model that is trained on site ever learns from
those patients (unless the type was too rare to be judged before), so that they can compare any two of them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

MIN_PER_TYPE = 2
# A type with fewer patients is learned from, and none of it is held out.
MIN_JUDGED = 4


class Patient(Protocol):
    """What of a patient decides the part."""

    @property
    def patient(self) -> str:
        """Id, the same for all scans of one person."""

    @property
    def cancer_type(self) -> str:
        """As a reader said it."""


P = TypeVar("P", bound=Patient)


@dataclass(frozen=True)
class Parts(Generic[P]):
    """Patients to learn from, to choose the epoch on, and to judge on; no patient is in two of them."""

    learning: list[P]
    stopping: list[P]
    judging: list[P]


def split(samples: Sequence[P], stopping: float, judging: float) -> Parts[P]:
    """Assign patients to the three parts.

    Parameters
    ----------
    stopping, judging : shares of the patients.

    Notes
    -----
    Judging is by the id alone, whoever else is there; of each type `MIN_PER_TYPE` patients remain to be learned from.
    Of the rest, those with the lowest hashes of each type choose the epoch. Types with fewer than `MIN_JUDGED`
    patients are in neither; they keep no other type from being judged. With fewer than two types to hold out, nobody
    is: weights that know one type alone would do well on it.
    """
    apart = _judging(samples, judging) if judging > 0 else set()
    rest = [one for one in samples if one.patient not in apart]
    held = _stopping(rest, stopping) if stopping > 0 else set()
    return Parts(
        [one for one in rest if one.patient not in held],
        [one for one in rest if one.patient in held],
        [one for one in samples if one.patient in apart],
    )


def judged_types(counts: Mapping[str, int]) -> set[str]:
    """Of the numbers of patients by type, the types that have enough to hold some out."""
    return {name for name, count in counts.items() if count >= MIN_JUDGED}


def place(patient: str) -> float:
    """Number in [0, 1) of a patient's id: the patient judges where it is below the share for judging."""
    return int.from_bytes(hashlib.sha256(f"wslpet {patient}".encode()).digest()[:8], "big") / 2**64


def _judging(samples: Sequence[P], share: float) -> set[str]:
    chosen: set[str] = set()
    for own in _held_types(samples):
        chosen |= _whole_patients(own, [one for one in own if place(one.patient) < share])
    return chosen


def _stopping(samples: Sequence[P], share: float) -> set[str]:
    chosen: set[str] = set()
    for own in _held_types(samples):
        chosen |= _whole_patients(own, own[: max(1, round(share * len(own)))])
    return chosen


def _held_types(samples: Sequence[P]) -> list[list[P]]:
    """Of each type that can be held out, its samples, in the order of the hash; of one such type alone, none."""
    types = judged_types(Counter(one.cancer_type for one in samples))
    if len(types) < 2:
        return []
    ordered = sorted(samples, key=lambda one: place(one.patient))
    return [[one for one in ordered if one.cancer_type == name] for name in sorted(types)]


def _whole_patients(own: Sequence[P], wanted: Sequence[P]) -> set[str]:
    """Patients of the wanted samples, in their order, as long as `MIN_PER_TYPE` samples of the type are left."""
    scans, left, chosen = Counter(one.patient for one in own), len(own), set()
    for patient in dict.fromkeys(one.patient for one in wanted):
        left -= scans[patient]
        if left < MIN_PER_TYPE:
            break
        chosen.add(patient)
    return chosen
