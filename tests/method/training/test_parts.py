"""Who learns, who chooses the epoch, who judges."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from wslpet.method.training.parts import place, split


@dataclass(frozen=True)
class One:
    patient: str
    cancer_type: str


def cohort(**counts: int) -> list[One]:
    return [One(f"{name} {n}", name) for name, count in counts.items() for n in range(count)]


def test_judging_is_by_the_id_alone_whoever_comes_later():
    early, late = (split(cohort(lung=n, oesophagus=n), 0.2, 0.2) for n in (20, 60))
    of_both = set(cohort(lung=20, oesophagus=20))
    assert set(late.judging) & of_both == set(early.judging)
    assert {one for one in late.judging if place(one.patient) >= 0.2} == set()


def test_nobody_is_in_two_parts_or_in_none():
    everyone = cohort(lung=50, oesophagus=30, melanoma=3)
    parts = split(everyone, 0.2, 0.2)
    assert Counter([*parts.learning, *parts.stopping, *parts.judging]) == Counter(everyone)


@pytest.mark.parametrize("count", [5, 9, 40])
def test_two_scans_of_a_patient_are_in_one_part(count):
    everyone = [One(patient.patient, patient.cancer_type) for patient in cohort(lung=count, oesophagus=count)] * 2
    parts = split(everyone, 0.15, 0.2)
    assert parts.stopping
    names = [{one.patient for one in part} for part in (parts.learning, parts.stopping, parts.judging)]
    assert sum(map(len, names)) == len(set().union(*names)) == 2 * count


def test_about_the_share_that_was_asked_for():
    parts = split(cohort(lung=500, oesophagus=500), 0.1, 0.2)
    assert 160 < len(parts.judging) < 240
    assert len(parts.stopping) == pytest.approx(80, abs=6)


def test_a_rare_type_is_learned_from_and_keeps_no_other_from_being_judged():
    parts = split(cohort(lung=40, oesophagus=40, melanoma=3), 0.2, 0.2)
    assert {one.cancer_type for one in parts.judging} == {"lung", "oesophagus"}
    assert sum(one.cancer_type == "melanoma" for one in parts.learning) == 3


def test_of_each_type_two_are_left_to_be_learned_from():
    everyone = [
        one for one in cohort(lung=400, oesophagus=400) if one.cancer_type == "lung" or place(one.patient) < 0.2
    ]
    parts = split(everyone, 0.2, 0.2)
    assert sum(one.cancer_type == "oesophagus" for one in [*parts.learning, *parts.stopping]) == 2


@pytest.mark.parametrize("counts", [{"lung": 20}, {"lung": 20, "oesophagus": 3}, {"lung": 3, "oesophagus": 3}])
def test_weights_that_know_one_type_alone_would_do_well_on_it(counts):
    parts = split(cohort(**counts), 0.2, 0.2)
    assert parts.stopping == parts.judging == []


def test_nobody_is_held_out_where_nobody_shall_be():
    assert len(split(cohort(lung=20, oesophagus=20), 0.0, 0.0).learning) == 40
