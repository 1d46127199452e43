"""The benchmarks run against the package as it is: a step that a change of the package broke fails here."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

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
