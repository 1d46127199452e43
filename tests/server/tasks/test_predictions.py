"""What the weights say of an image, while a training publishes others."""

from types import SimpleNamespace

import pytest
import torch

from tests.helpers.synthetic import write_scan
from wslpet.core.settings import Settings
from wslpet.method.network.checkpoint import Model, new_network
from wslpet.server.errors import Conflict
from wslpet.server.storage.datastore import SeededDatastore
from wslpet.server.tasks import predictions as module
from wslpet.server.tasks.predictions import Predictions


def model(seed):
    torch.manual_seed(seed)
    network = new_network(Settings(random_seed=seed)).eval()
    return Model(network, Settings())


@pytest.fixture
def case(tmp_path):
    studies = tmp_path / "studies"
    studies.mkdir()
    write_scan(studies, "case")
    store = SeededDatastore(str(studies), Settings())
    weights = SimpleNamespace(model=model(1))
    weights.current = lambda: weights.model
    return store, weights, Predictions(store, weights, tmp_path / "kept")


def meanwhile(monkeypatch, happen):
    """Have something happen while an image is segmented, the first time."""
    original, left = module.find_lesions, [happen]

    def segment(*args, **options):
        result = original(*args, **options)
        while left:
            left.pop()()
        return result

    monkeypatch.setattr(module, "find_lesions", segment)


def test_what_old_weights_said_is_not_what_new_ones_say(case, monkeypatch):
    _, weights, predictions = case
    old, new = weights.model, model(2)
    assert old.version != new.version

    def publish():
        weights.model = new
        assert predictions.known("case") is None  # as the page asks, which makes the new weights those in use

    meanwhile(monkeypatch, publish)
    assert predictions.of("case").model_version == old.version
    assert predictions.known("case") is None
    assert predictions.of("case").model_version == new.version
    assert predictions.known("case").model_version == new.version


def test_weights_that_come_back_say_what_they_said(case):
    _, weights, predictions = case
    old = weights.model
    before = predictions.of("case")
    weights.model = model(2)
    assert predictions.of("case").model_version == weights.model.version
    weights.model = old
    assert predictions.of("case") == before


def test_an_image_that_is_replaced_meanwhile_is_not_answered_for(case, monkeypatch):
    store, _, predictions = case
    path = store.image_path("case")

    def replace():
        write_scan(path.parent, "other").path.replace(path)

    meanwhile(monkeypatch, replace)
    with pytest.raises(Conflict, match="replaced"):
        predictions.of("case")
    assert predictions.of("case")
