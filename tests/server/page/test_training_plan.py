"""What the page says of a training before it starts."""

import pytest

from wslpet.server.page.schemas import Run
from wslpet.server.page.training import planned


def done(seconds: float, epochs: int, patients: int) -> Run:
    return Run(
        id="run",
        name="",
        started=0,
        state="done",
        total_epochs=epochs,
        total_time="0:00:10",
        patients={"lung": patients},
        skipped={},
        from_scratch=True,
        published=True,
        not_published="",
        model_version="",
        error="",
        best_metric=1,
        epochs=[{"epoch": n, "seconds": seconds * n / epochs} for n in range(1, epochs + 1)],
    )


def test_who_is_held_out_and_how_long_it_takes() -> None:
    told = planned({"lung": 12, "oesophagus": 8}, 0.2, "abc", [done(30, 10, 10)])
    assert "Learns from 12 lung, 8 oesophagus." in told
    assert "About 2 lung, 2 oesophagus of them are held out" in told
    assert "An epoch takes about 6.0 s" in told
    assert "not" not in told


@pytest.mark.parametrize(
    ("in_use", "said"), [("abc", "cannot be compared with the one in use"), (None, "There is no model yet")]
)
def test_a_model_that_nobody_can_judge(in_use: str | None, said: str) -> None:
    told = planned({"lung": 3, "oesophagus": 9}, 0.2, in_use, [])
    assert "Nobody is held out" in told and said in told


def test_a_rare_type_is_not_judged() -> None:
    told = planned({"lung": 9, "oesophagus": 9, "melanoma": 2}, 0.2, "abc", [])
    assert "melanoma is not judged: it takes 4 patients." in told
