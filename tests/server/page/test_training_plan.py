"""What the page says of a training before it starts, and a stop while it starts."""

import pytest

from wslpet.server.page import training
from wslpet.server.page.schemas.training import Run
from wslpet.server.page.training import Annotated, planned


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


def cohort(**counts: int) -> list[Annotated]:
    return [Annotated(f"{name} {n}", name) for name, count in counts.items() for n in range(count)]


def test_the_plan_has_the_number_of_judging_patients_and_the_time() -> None:
    told = planned(cohort(lung=40, oesophagus=40), 0.2, "abc", [done(30, 10, 10)])
    judging = next(sentence for sentence in told.split(". ") if "are kept to judge" in sentence)
    assert "lung" in judging and "oesophagus" in judging
    assert "choose the epoch" in told
    assert "paired test, level 5%" in told
    assert "An epoch takes about 24.0 s" in told


@pytest.mark.parametrize(("in_use", "said"), [("abc", "you decide"), (None, "There is no model yet")])
def test_a_model_that_nobody_can_judge(in_use: str | None, said: str) -> None:
    told = planned(cohort(lung=3, oesophagus=9), 0.2, in_use, [])
    assert "Nobody is kept to judge" in told and said in told


def test_a_rare_type_is_not_judged() -> None:
    told = planned(cohort(lung=40, oesophagus=40, melanoma=2), 0.2, "abc", [])
    assert "Not judged: melanoma." in told
    assert "2 melanoma" in told.split(".")[0]


def test_a_training_that_has_no_process_yet_is_stopped_when_it_has(monkeypatch):
    states, stopped = ["waiting", "waiting", "running"], []
    monkeypatch.setattr(training, "_state", lambda: states.pop(0) if len(states) > 1 else states[0])
    monkeypatch.setattr(training.monailabel_train, "stop", lambda: stopped.append(list(states)))
    training.stop()
    assert stopped == [["running"]]
