from __future__ import annotations

import re

import pytest

from wslpet.core.settings import Settings
from wslpet.method.network.checkpoint import Model, new_network
from wslpet.method.training.trainer import EpochReport, Trained
from wslpet.server.tasks.publication import not_judged, objection


@pytest.mark.parametrize(
    ("accuracy", "better", "held_out", "said"),
    [
        (0.49, True, 2, "worse than chance"),
        (float("nan"), True, 2, "worse than chance"),
        (0.9, False, 2, "no better"),
        (0.9, False, 0, r"4 patients of at least two types \(there are 4 lung, 5 oesophagus, 1 melanoma"),
    ],
)
def test_weights_that_do_badly_are_not_published(accuracy, better, held_out, said):
    assert re.search(said, objection(trained(accuracy, better, held_out)) or "")
    assert objection(trained(0.5, True, held_out)) is None


def test_what_is_not_judged_is_said():
    assert "melanoma (1 of 4 patients" in not_judged(trained(0.9, True, 2).model.history)
    assert "Nobody was held out" in not_judged(trained(0.9, True, 0).model.history)
    everyone = {"held_out": 2, "judged": ["lung"], "patients": {"lung": 9, "melanoma": 0}}
    assert not_judged(everyone) == ""


def trained(accuracy, better, held_out):
    settings = Settings()
    history = {
        "patients": {"lung": 4, "oesophagus": 5, "melanoma": 1, "no tumour": 0},
        "held_out": held_out,
        "judged": ["lung", "oesophagus"] if held_out else [],
    }
    model = Model(new_network(settings).eval(), settings, history)
    return Trained(model, [EpochReport(1, 1, 1.0, 1.0, 1.0, 1.0, 0.0, accuracy, 1.0, True)], None, better)
