"""Published weights: kept, taken back, and whole whatever happens."""

from dataclasses import replace

import pytest
import torch

from wslpet.cli.main import main
from wslpet.core.errors import ModelError
from wslpet.core.settings import Settings
from wslpet.method.network.checkpoint import Model, load_model, new_network
from wslpet.method.network.registry import ModelRegistry


def model(seed: int) -> Model:
    settings = replace(Settings(), random_seed=seed)
    return Model(new_network(settings).eval(), settings)


@pytest.fixture
def published(tmp_path):
    return ModelRegistry(tmp_path / ".wslpet" / "model" / "wslpet.pt")


def answering(published):
    return load_model(published.file).version


def test_there_is_a_way_back_and_forth(published):
    one, two, three = model(1), model(2), model(3)
    for each in (one, two, three):
        published.publish(each)
    assert answering(published) == three.version
    assert published.rollback().version == two.version == answering(published)
    assert published.rollback().version == one.version == answering(published)
    with pytest.raises(ModelError, match="no weights were published before"):
        published.rollback()
    assert published.rollback(three.version).version == answering(published) == three.version
    with pytest.raises(ModelError, match="not among those kept"):
        published.rollback("none")
    states = {v.version: v.state for v in published.versions()}
    assert states == {three.version: "published", two.version: "withdrawn", one.version: "withdrawn"}


def test_weights_that_are_not_finite_are_not_published(published):
    published.publish(model(1))
    before = answering(published)
    broken = model(2)
    with torch.no_grad():
        next(iter(broken.network.parameters())).fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        published.publish(broken)
    assert answering(published) == before
    assert [v.state for v in published.versions()] == ["published"]


@pytest.mark.parametrize(
    "step",
    [
        "wslpet.core.atomic_io.os.replace",
        "wslpet.core.atomic_io.os.fsync",
        "wslpet.method.network.checkpoint.torch.save",
    ],
)
def test_a_full_disk_leaves_what_answers(published, monkeypatch, step):
    published.publish(model(1))
    before = answering(published)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(step, full)
    with pytest.raises(OSError, match="No space left"):
        published.publish(model(2))
    monkeypatch.undo()
    assert answering(published) == before
    assert not list(published.file.parent.rglob("*.part"))


def test_what_is_taken_back_is_kept(published):
    only = model(1)
    published.publish(only)
    published.withdraw()
    assert not published.file.exists()
    assert [(v.version, v.state) for v in published.versions()] == [(only.version, "withdrawn")]
    with pytest.raises(ModelError, match="no weights are published"):
        published.withdraw()


def test_from_a_terminal(published, tmp_path, capsys):
    one, two = model(1), model(2)
    published.publish(one)
    published.publish(two)
    assert main(["model", "rollback", str(tmp_path)]) == 0
    assert answering(published) == one.version
    assert main(["model", "versions", str(tmp_path)]) == 0
    assert two.version in capsys.readouterr().out
    assert main(["model", "rollback", str(tmp_path), "--to", two.version]) == 0
    assert answering(published) == two.version
    assert main(["model", "rollback", str(tmp_path / "nowhere")]) == 2
    assert "no published weights" in capsys.readouterr().err
    assert main(["model", "rollback"]) == 2
