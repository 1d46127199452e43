"""The benchmarks run against the package as it is: a step that a change of the package broke fails here."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

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
