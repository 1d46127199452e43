from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from wslpet.core.errors import ModelError
from wslpet.core.settings import settings_from
from wslpet.method.network.checkpoint import Model, load_model, new_network, save_model
from wslpet.method.network.coarse_segmenter import load_network

SETTINGS = settings_from(widths=(8,) * 8, types=("breast", "cervix", "larynx"), epochs=3)


def model(history=None) -> Model:
    return Model(new_network(SETTINGS).eval(), SETTINGS, history or {"patients": {"breast": 3}})


def test_a_model_survives_its_file(tmp_path):
    before = model()
    save_model(before, tmp_path / "folder" / "model.pt")
    after = load_model(tmp_path / "folder" / "model.pt")
    assert (after.version, after.settings, after.history) == (before.version, before.settings, before.history)
    assert not after.network.training
    images = torch.rand(2, 3, 32, 48)
    with torch.inference_mode():
        assert torch.equal(after.network(images), before.network(images))
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["model.pt"]


def test_a_segmenter_that_learned_on_site_is_part_of_the_model(tmp_path):
    without, with_one = model(), replace(model(), segmenter=load_network())
    assert with_one.version != without.version
    for before in (without, with_one):
        save_model(before, tmp_path / "model.pt")
        after = load_model(tmp_path / "model.pt")
        assert after.version == before.version and (after.segmenter is None) == (before.segmenter is None)
    assert not after.segmenter.training
    # Files of models before there was one have no such entry.
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    assert content.pop("segmenter")
    torch.save(content, tmp_path / "model.pt")
    assert load_model(tmp_path / "model.pt").version == without.version


@pytest.mark.parametrize("fault", ["another network", "not finite"])
def test_a_damaged_segmenter_is_refused(tmp_path, fault):
    save_model(replace(model(), segmenter=load_network()), tmp_path / "model.pt")
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    name = next(iter(content["segmenter"]))
    if fault == "not finite":
        content["segmenter"][name] = torch.full_like(content["segmenter"][name], torch.nan)
    else:
        del content["segmenter"][name]
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="does not fit" if fault == "another network" else "not finite"):
        load_model(tmp_path / "model.pt")


def test_the_network_is_the_papers_eight_layers():
    paper = settings_from("paper")
    network = new_network(paper)
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in network.features) == 8
    assert network(torch.zeros(1, 2, 64, 160)).shape == (1, 2, 4, 10)


def test_the_same_seed_builds_the_same_network():
    state = torch.random.get_rng_state()
    assert model().version == model().version
    assert torch.equal(state, torch.random.get_rng_state())
    other = settings_from(**{**SETTINGS.to_dict(), "random_seed": 1})
    assert Model(new_network(other), other).version != model().version


def test_the_version_follows_the_weights():
    before = model()
    network = copy.deepcopy(before.network)
    with torch.no_grad():
        network.classify.bias[0] += 1e-6
    assert Model(network, SETTINGS).version != before.version


def test_saving_over_a_model_replaces_it(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"old")
    save_model(model(), path)
    assert load_model(path).version == model().version


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    save_model(model(), path)
    content = path.read_bytes()
    for damaged in (b"", b"not weights", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match="cannot be read as weights"):
            load_model(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        load_model(tmp_path / "gone.pt")


def test_code_in_a_file_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trapped"), "w"))

    torch.save({"format": "wslpet-1", "settings": {}, "weights": Trap()}, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        load_model(tmp_path / "model.pt")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "other"}, "is not a wslpet-1 file"),
        ({"settings": {"grid": 4}}, "does not fit its own settings"),
        ({"settings": {}}, "does not fit its own settings"),
        ({"weights": {}}, "does not fit its own settings"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, change, said):
    path = tmp_path / "model.pt"
    save_model(model(), path)
    torch.save({**torch.load(path, weights_only=True), **change}, path)
    with pytest.raises(ModelError, match=said):
        load_model(path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    broken = model()
    with torch.no_grad():
        broken.network.classify.bias[0] = float("nan")
    save_model(broken, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="not finite"):
        load_model(tmp_path / "model.pt")


def test_a_setting_that_is_no_more_is_dropped(tmp_path):
    save_model(load_model(), tmp_path / "one.pt")
    content = torch.load(tmp_path / "one.pt", weights_only=True)
    content["settings"]["least_evidence"] = 0.001
    torch.save(content, tmp_path / "two.pt")
    assert load_model(tmp_path / "two.pt").version == load_model().version
