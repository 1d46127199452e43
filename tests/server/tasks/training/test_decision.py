"""A person decides which weights answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from wslpet.core.settings import Settings
from wslpet.method.network.checkpoint import Model, load_model, new_network, save_model
from wslpet.method.network.registry import ModelRegistry
from wslpet.server.errors import Conflict, UnknownName
from wslpet.server.tasks.training.decision import CANDIDATE_FILE, decide, decisions
from wslpet.server.tasks.training.training_record import RUN_FILE

RUN = "train_01/20270102-030405"


def model(number: int) -> Model:
    network = new_network(Settings())
    with torch.no_grad():
        next(network.parameters()).add_(number)
    return Model(network.eval(), Settings())


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    """Weights 1 are in use; a run left weights 2."""
    registry = ModelRegistry(tmp_path / "wslpet.pt")
    registry.publish(model(1))
    run = tmp_path / RUN
    run.mkdir(parents=True)
    (run / RUN_FILE).write_text(json.dumps({"judgement": {"verdict": "cannot tell"}}))
    save_model(model(2), run / CANDIDATE_FILE)
    return registry


def in_use(registry: ModelRegistry) -> str:
    return load_model(registry.file).version


def test_accepting_publishes_the_new_weights_and_records_who_decided(registry):
    decision = decide(registry, RUN, True, "Ann")
    assert in_use(registry) == model(2).version == decision.version
    assert [(one.run, one.use, one.user, one.verdict) for one in decisions(registry)] == [
        (RUN, True, "Ann", "cannot tell")
    ]
    assert decision.time.endswith("+00:00")


def test_declining_keeps_the_old_weights_and_is_recorded(registry):
    decide(registry, RUN, False, "Ann")
    assert in_use(registry) == model(1).version
    assert [one.use for one in decisions(registry)] == [False]


def test_a_decision_can_be_reversed(registry):
    decide(registry, RUN, True, "Ann")
    decide(registry, RUN, False, "Ben")
    assert in_use(registry) == model(1).version
    assert [(one.use, one.user) for one in decisions(registry)] == [(True, "Ann"), (False, "Ben")]


def test_declining_the_first_weights_restores_the_shipped_ones(registry):
    registry.withdraw()
    decide(registry, RUN, True, "Ann")
    decide(registry, RUN, False, "Ann")
    assert not registry.file.exists()


def test_deciding_twice_publishes_once(registry):
    for _ in range(2):
        decide(registry, RUN, True, "Ann")
    assert [version.state for version in registry.versions()] == ["published", "previous"]


@pytest.mark.parametrize("run", ["train_01/1", "../train_01", "", "/etc"])
def test_a_decision_on_an_unknown_run_is_refused(registry, run):
    with pytest.raises(UnknownName, match="does not exist"):
        decide(registry, run, True, "Ann")
    assert decisions(registry) == []


def test_a_decision_on_a_run_without_weights_is_refused(registry):
    (registry.file.parent / RUN / CANDIDATE_FILE).unlink()
    with pytest.raises(Conflict, match="left no weights"):
        decide(registry, RUN, True, "Ann")
