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

    def find_lesions(*args, **options):
        result = original(*args, **options)
        while left:
            left.pop()()
        return result

    monkeypatch.setattr(module, "find_lesions", find_lesions)


def test_predictions_of_old_weights_are_not_returned_for_new_ones(case, monkeypatch):
    _, weights, predictions = case
    old, new = weights.model, model(2)
    assert old.version != new.version

    def publish():
        weights.model = new
        assert predictions.known("case") is None  # as the page asks, which makes the new weights those in use

    meanwhile(monkeypatch, publish)
    assert predictions.get("case").model_version == old.version
    assert predictions.known("case") is None
    assert predictions.get("case").model_version == new.version
    assert predictions.known("case").model_version == new.version


def test_cached_predictions_are_used_after_a_rollback(case):
    _, weights, predictions = case
    old = weights.model
    before = predictions.get("case")
    weights.model = model(2)
    assert predictions.get("case").model_version == weights.model.version
    weights.model = old
    assert predictions.get("case") == before


def test_a_prediction_for_an_image_replaced_meanwhile_is_refused(case, monkeypatch):
    store, _, predictions = case
    path = store.image_path("case")

    def replace():
        write_scan(path.parent, "other").path.replace(path)

    meanwhile(monkeypatch, replace)
    with pytest.raises(Conflict, match="replaced"):
        predictions.get("case")
    assert predictions.get("case")
