from __future__ import annotations

import re

import pytest

from wslpet.core.settings import Settings
from wslpet.method.network.checkpoint import Model, new_network
from wslpet.method.training.judging import Answer, Judged, Judgement, Verdict
from wslpet.method.training.trainer import EpochReport, Trained
from wslpet.server.tasks.training.publication import doubt_of_types, not_judged, objection

LUNG, OESOPHAGUS = Answer(True, "lung", 4.0), Answer(False, "oesophagus", 90.0)


def judgement(verdict: Verdict, differing: int, same: int) -> Judgement:
    patients = [Judged(f"d{n}", "lung", OESOPHAGUS, LUNG) for n in range(differing)]
    patients += [Judged(f"s{n}", "lung", LUNG, LUNG) for n in range(same)]
    return Judgement(tuple(patients), verdict, 0.5, 0.012)


@pytest.mark.parametrize(
    ("accuracy", "judged", "said"),
    [
        (0.0, judgement("better", 5, 0), r"worse than chance \(0% of 10 right, by chance 33%\)"),
        (float("nan"), judgement("better", 5, 0), "worse than chance"),
        (0.0, None, "worse than chance"),
        (0.9, judgement("worse", 6, 2), r"worse than the one in use on the 8 patients who judge \(p 0.012\)"),
        (0.9, judgement("cannot tell", 3, 4), "7 patients judge, on 3 of them the two differ; 5 is the fewest"),
        (0.9, judgement("cannot tell", 6, 4), "on 6 of them the two differ. Decide on the page"),
        (0.9, judgement("cannot tell", 0, 0), r"two types \(there are 4 lung, 5 oesophagus, 1 melanoma"),
    ],
)
def test_weights_with_poor_validation_are_not_published(accuracy, judged, said):
    assert re.search(said, objection(trained(accuracy, judged)) or "")


@pytest.mark.parametrize("judged", [None, judgement("better", 5, 0)])
def test_weights_with_good_validation_are_published(judged):
    assert objection(trained(0.5, judged)) is None


@pytest.mark.parametrize("accuracy", [0.1, 0.3])
def test_weights_whose_types_may_be_chance_are_published_with_a_doubt(accuracy):
    assert objection(trained(accuracy, None)) is None
    assert re.search(
        r"no better than chance \(\d+% of 10 right, by chance 33%\)", doubt_of_types(trained(accuracy, None))
    )
    assert doubt_of_types(trained(0.4, None)) == ""


def test_types_without_a_judging_patient_are_named():
    history = {"patients": {"lung": 9, "melanoma": 1, "no tumour": 0}, "judging": 2, "judged": ["lung"]}
    assert not_judged(history).endswith("1 melanoma.")
    assert not_judged({**history, "judged": ["lung", "melanoma"]}) == ""
    assert "Nobody was kept" in not_judged({**history, "judging": 0})


def trained(accuracy: float, judged: Judgement | None) -> Trained:
    settings = Settings()
    history = {"patients": {"lung": 4, "oesophagus": 5, "melanoma": 1, "no tumour": 0}, "held_out": 10}
    model = Model(new_network(settings).eval(), settings, history)
    return Trained(model, [EpochReport(1, 1, 1.0, 1.0, 1.0, 1.0, 0.0, accuracy, 1.0, True)], None, judged)
