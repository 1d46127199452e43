"""The benchmarks run against the package as it is: a step that a change of the package broke fails here."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmarks.learning import ablations
from benchmarks.learning.lesions import Judged, Place, curve, sensitivity
from benchmarks.speed.__main__ import _stages
from tests.helpers.synthetic import write_scan


@pytest.mark.slow
def test_the_steps_of_an_inference_are_timed(tmp_path):
    write_scan(tmp_path, "case", "lps", "lung")
    (scan,) = tmp_path.glob("case*")
    speed = SimpleNamespace(scan=SimpleNamespace(path=scan), stages={})
    _stages(speed, 1)
    assert set(speed.stages) == {"decode", "project", "network, places", "lesion", "write"}
    assert all(len(seconds) == 1 for seconds in speed.stages.values())
    assert list(tmp_path.iterdir()) == [scan]


def test_the_froc_curve_counts_each_lesion_once(capsys):
    def place(probability, lesions):
        return Place(probability, False, bool(lesions), lesions, 10, 10 if lesions else 0)

    one = Judged([place(0.9, (1,)), place(0.8, ()), place(0.7, (1, 2))], 0.9, 3, 30, True)
    other = Judged([place(0.6, ()), place(0.5, (1,)), place(0.4, ())], 0.6, 1, 10, True)
    # Falling probability: a lesion, a false place, one more lesion, a false place, a lesion, a false place.
    assert sensitivity([one, other], 0.25) == (1 / 4, 0.9)
    assert sensitivity([one, other], 0.5) == (2 / 4, 0.7)
    assert sensitivity([one, other], 1.0) == (3 / 4, 0.5)
    curve([one, other])
    assert "| 0.5 | 50 | 0.70 |" in capsys.readouterr().out


def test_the_ablations_compare_the_mean_of_each_patient_over_the_repeats():
    def judged(*dice):
        return [{"detected": d > 0, "dice": d, "false_positive_ml": 1 - d, "type_right": True} for d in dice]

    figures = {
        "all parts": [judged(0.8, 0.6, 0.9, 0.7, 0.5, 0.8), judged(0.6, 0.8, 0.7, 0.9, 0.7, 0.6)],
        "without one": [judged(0.5, 0.4, 0.5, 0.0, 0.3, 0.4), judged(0.3, 0.4, 0.3, 0.4, 0.1, 0.2)],
    }
    (whole, without) = ablations.table(figures).splitlines()[2:]
    assert whole.startswith("| all parts | 100% | 0.72 [") and whole.endswith("| 0.3 | 100% |  |")
    # Wilcoxon: the smallest p of six patients who all differ to the same side is 2 / 2⁶.
    assert without.startswith("| without one | 92% | 0.32 [") and without.endswith("| 0.7 | 100% | 0.031 |")
