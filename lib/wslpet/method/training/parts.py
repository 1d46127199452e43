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
    apart = {id(one) for one in _judging(samples, judging)} if judging > 0 else set()
    rest = [one for one in samples if id(one) not in apart]
    held = {id(one) for one in _stopping(rest, stopping)} if stopping > 0 else set()
    return Parts(
        [one for one in rest if id(one) not in held],
        [one for one in rest if id(one) in held],
        [one for one in samples if id(one) in apart],
    )


def judged_types(counts: Mapping[str, int]) -> set[str]:
    """Of the numbers of patients by type, the types that have enough to hold some out."""
    return {name for name, count in counts.items() if count >= MIN_JUDGED}


def place(patient: str) -> float:
    """Number in [0, 1) of a patient's id: the patient judges where it is below the share for judging."""
    return int.from_bytes(hashlib.sha256(f"wslpet {patient}".encode()).digest()[:8], "big") / 2**64


def _judging(samples: Sequence[P], share: float) -> list[P]:
    counts = Counter(one.cancer_type for one in samples)
    types = judged_types(counts)
    chosen: list[P] = []
    for name in sorted(types) if len(types) >= 2 else []:
        own = sorted((one for one in samples if one.cancer_type == name), key=lambda one: place(one.patient))
        below = [one for one in own if place(one.patient) < share]
        chosen += below[: counts[name] - MIN_PER_TYPE]
    return chosen


def _stopping(samples: Sequence[P], share: float) -> list[P]:
    counts = Counter(one.cancer_type for one in samples)
    types = judged_types(counts)
    chosen: list[P] = []
    for name in sorted(types) if len(types) >= 2 else []:
        own = sorted((one for one in samples if one.cancer_type == name), key=lambda one: place(one.patient))
        chosen += own[: max(1, round(share * len(own)))]
    return chosen
