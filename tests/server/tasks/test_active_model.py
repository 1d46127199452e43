"""The model in use: the published weights, else the shipped ones, else none; loaded again when the file changes."""

from __future__ import annotations

import os
import shutil

import pytest

from wslpet.core.errors import ModelError
from wslpet.core.settings import Settings, settings_from
from wslpet.method.network.checkpoint import Model, new_network, save_model
from wslpet.server.tasks import active_model
from wslpet.server.tasks.active_model import ActiveModel

SETTINGS = settings_from(widths=(8,) * 8)


def model(seed: int, **other) -> Model:
    settings = settings_from(widths=(8,) * 8, random_seed=seed, **other)
    return Model(new_network(settings).eval(), settings)


@pytest.fixture
def published(tmp_path):
    return tmp_path / "model" / "wslpet.pt"


@pytest.fixture
def shipped(tmp_path):
    path = tmp_path / "shipped.pt"
    save_model(model(0), path)
    return path


@pytest.fixture
def loads(monkeypatch):
    """Names of the files that were loaded."""
    names = []
    load = active_model.load_model

    def counted(path, device):
        names.append(path.name)
        return load(path, device)

    monkeypatch.setattr(active_model, "load_model", counted)
    return names


def in_use(published, shipped, settings: Settings = SETTINGS, **other) -> ActiveModel:
    return ActiveModel(published, shipped, settings, "cpu", **other)


def test_without_weights_there_is_no_model(published, tmp_path):
    for shipped in (None, tmp_path / "missing.pt"):
        weights = in_use(published, shipped)
        assert weights.current() is None and weights.path() is None


def test_the_shipped_weights_serve_until_others_are_published_and_again_when_they_are_withdrawn(published, shipped):
    weights = in_use(published, shipped)
    assert (weights.current().version, weights.path()) == (model(0).version, shipped)
    weights.history.publish(model(1))
    assert (weights.current().version, weights.path()) == (model(1).version, published)
    weights.history.withdraw()
    assert (weights.current().version, weights.path()) == (model(0).version, shipped)


def test_published_weights_need_no_shipped_ones(published):
    save_model(model(1), published)
    assert in_use(published, None).current().version == model(1).version


def test_a_file_is_loaded_once_until_it_changes(published, shipped, loads):
    save_model(model(1), published)
    weights = in_use(published, shipped)
    first = weights.current()
    assert weights.current() is first and loads == ["wslpet.pt"]
    save_model(model(2), published)
    assert weights.current().version == model(2).version
    assert weights.current() is not first and loads == ["wslpet.pt"] * 2


@pytest.mark.parametrize("kept", ["inode", "time"])
def test_a_change_is_seen_by_the_inode_or_the_time(published, kept):
    """A copy over the file keeps its inode and size; a renamed file may be of the same time and size."""
    save_model(model(1), published)
    weights = in_use(published, None)
    weights.current()
    before = published.stat()
    new = published.with_name("newest.pt")
    save_model(model(2), new)
    assert new.stat().st_size == before.st_size
    if kept == "inode":
        shutil.copyfile(new, published)
        os.utime(published, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        assert published.stat().st_ino == before.st_ino
    else:
        os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.replace(new, published)
    assert weights.current().version == model(2).version


def test_a_rollback_is_seen(published):
    weights = in_use(published, None)
    for seed in (1, 2):
        weights.history.publish(model(seed))
    assert weights.current().version == model(2).version
    weights.history.rollback()
    assert weights.current().version == model(1).version


def test_a_damaged_file_raises_an_error(published, shipped):
    save_model(model(1), published)
    weights = in_use(published, shipped)
    weights.current()
    published.write_bytes(published.read_bytes()[:100])
    for _ in range(2):
        with pytest.raises(ModelError, match=r"model wslpet\.pt cannot be read as weights"):
            weights.current()
    save_model(model(2), published)
    assert weights.current().version == model(2).version


def test_published_weights_for_other_types_are_ignored(published, shipped):
    save_model(model(1, types=("breast", "cervix")), published)
    assert in_use(published, shipped).current().version == model(0).version
    assert in_use(published, None).current() is None
    other = settings_from(types=("breast", "cervix"))
    assert in_use(published, shipped, other).current().version == model(1).version


@pytest.mark.parametrize("other", [{"types": ("oesophagus", "lung")}, {"no_tumour": True}])
def test_the_order_of_the_types_and_no_tumour_count(published, other):
    save_model(model(1, **other), published)
    assert in_use(published, None).current() is None


def test_other_training_settings_do_not_make_weights_unusable(published):
    save_model(model(1, epochs=3, dropout=0.5), published)
    assert in_use(published, None).current().settings.epochs == 3


def test_renaming_two_types_to_one_is_not_done(published):
    save_model(model(1, types=("lung", "oesophagus")), published)
    to_one = in_use(published, None, renamed={"lung": "oesophagus"})
    assert to_one.current().settings.types == ("lung", "oesophagus")


def test_two_types_can_exchange_their_names(published):
    save_model(model(1, types=("lung", "oesophagus")), published)
    swapped = settings_from(types=("oesophagus", "lung"))
    weights = in_use(published, None, swapped, renamed={"lung": "oesophagus", "oesophagus": "lung"})
    assert weights.current().settings.types == ("oesophagus", "lung")
    assert weights.current().version == model(1).version


def test_the_device_is_the_configured_one_or_the_best(published, monkeypatch):
    monkeypatch.setattr(active_model, "best_device", lambda: "best")
    assert ActiveModel(published, None, SETTINGS).device == "best"
    assert ActiveModel(published, None, SETTINGS, "cpu").device == "cpu"
