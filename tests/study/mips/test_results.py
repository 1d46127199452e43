"""Figures of systems over people: intervals, paired tests, Holm's correction, lesions against false places."""

import numpy as np
import pytest

from wslpet.study.mips import results
from wslpet.study.mips.judging import Outcome
from wslpet.study.mips.report.tables import comparison
from wslpet.study.mips.systems.registry import system_of


def outcome(number, ill=True, dice=0.5, hit=True, score=0.5, right=None, places=(), lesions=1, cancer_type="lung"):
    return Outcome(
        f"p{number}", ill, lesions if ill else 0, score, hit if ill else None, dice if ill else None, list(places),
        right if ill else None, None, cancer_type if ill else None,
    )  # fmt: skip


def test_mcnemar_is_the_sign_test_of_the_pairs_that_differ():
    both, first, second = [[True, True]] * 40, [[True, False]] * 12, [[False, True]] * 3
    # 2 · (C(15,0) + C(15,1) + C(15,2) + C(15,3)) / 2¹⁵
    assert results.mcnemar_p(np.array(both + first + second)) == pytest.approx(2 * (1 + 15 + 105 + 455) / 2**15)
    assert results.mcnemar_p(np.ones((5, 2), dtype=bool)) == 1.0


def test_a_better_system_is_ahead_in_each_quantity():
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.05, 40)
    reference = [outcome(k, dice=0.4 + noise[k], hit=k % 2 == 0, score=0.5 + noise[k]) for k in range(40)]
    better = [outcome(k, dice=0.6 + noise[k] / 2, hit=True, score=0.9 + noise[-k]) for k in range(40)]
    well = [outcome(k, ill=False, score=0.5 + rng.normal(0, 0.1)) for k in range(40, 80)]
    one = results.compare(better + well, reference + well)
    assert one.effect["dice"] == pytest.approx(1.0) and one.effect["strongest_place"] == pytest.approx(0.5)
    assert one.effect["auc"] > 0.2 and all(p < 0.001 for p in one.p.values())


def test_people_are_paired_by_name():
    reference = [outcome(k, dice=k / 10) for k in range(10)]
    one = results.compare(reference[::-1][:6], reference)
    assert one.p["dice"] == 1.0 and one.effect["dice"] == 0.0


def test_holm_is_over_all_tests_of_all_systems():
    comparisons = {
        "a": results.Comparison({"dice": 0.01, "strongest_place": 0.04, "auc": None}, {}),
        "b": results.Comparison({"dice": 0.02, "strongest_place": 0.5, "auc": 0.03}, {}),
    }
    adjusted = results.adjusted(comparisons)
    assert adjusted == pytest.approx(
        {
            ("a", "dice"): 0.05,
            ("b", "dice"): 0.08,
            ("b", "auc"): 0.09,
            ("a", "strongest_place"): 0.09,
            ("b", "strongest_place"): 0.5,
        }
    )
    assert ("a", "auc") not in adjusted


def test_a_share_has_an_interval_that_is_never_of_width_0():
    full = results.share([True] * 20 + [None])
    assert full.value == 1.0 and 0.8 < full.low < 1.0
    assert results.share([None]) is None


def test_types_are_learned_only_beyond_the_most_frequent_one():
    def people(right):
        return [outcome(k, right=k < right, cancer_type="lung" if k < 50 else "melanoma") for k in range(100)]

    assert results.commonest_share(people(0)) == 0.5
    assert not results.learned_types(people(55)) and results.learned_types(people(65))
    assert not results.learned_types([outcome(0), outcome(1, cancer_type="melanoma")])


def test_one_score_for_everybody_has_no_auc():
    people = [outcome(k) for k in range(4)] + [outcome(k, ill=False) for k in range(4, 9)]
    row = comparison.presence([results.Judged(system_of("threshold"), people, True, None, {})], "people", 0).rows[0]
    assert row[1:5] == ("one score for all", "–", "–", "–")


def test_lesions_are_found_by_falling_strength():
    people = [
        outcome(0, lesions=2, places=[(0.9, [1]), (0.7, []), (0.6, [2])]),
        outcome(1, ill=False, places=[(0.8, []), (0.1, [])]),
    ]
    assert results.sensitivity_at(people, 0.5) == 0.5  # one false place in two people
    assert results.sensitivity_at(people, 1.0) == 1.0
    assert results.froc(people)[-1].tolist() == [1.5, 1.0]


def test_lesions_by_area():
    one = Outcome("a", True, 3, 0.0, True, 0.5, [], None, None, "lung", areas=[0.3, 0.4, 5.0], overlapped=[0.0, 0.2, 1])
    assert results.lesion_sensitivity([one], 0, 0.5) == (1, 2)
    assert results.lesion_sensitivity([one], 2, 10) == (1, 1)
