from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from wslpet.core.errors import TrainingError
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.settings import settings_from
from wslpet.method.network.checkpoint import load_model, new_network, save_model
from wslpet.method.network.inputs import Example
from wslpet.method.training.augmentation import Augmentation, augmented_batches
from wslpet.method.training.judging import LEVEL, localisation_error_mm
from wslpet.method.training.trainer import EpochReport, losses, step, train

SETTINGS = settings_from(
    widths=(8, 8, 16, 16, 16, 16, 16, 16), epochs=14, learning_rate=5e-3, patience=14, batch_size=6
)
GENTLE = Augmentation(zoom=0.05, gain=0.1, jitter_mm=1.0, partial=0.0, noise=0.0)

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def patient(number: int) -> Example:
    """A small hot spot, off-centre to one side for lung, in the middle for oesophagus; and a hotter, larger decoy."""
    rng = np.random.default_rng(number)
    cancer_type = ("lung", "oesophagus")[number % 2]
    x = 32 + (rng.choice([-1, 1]) * rng.uniform(11, 16) if cancer_type == "lung" else rng.uniform(-2, 2))
    y, z = rng.uniform(10, 22), rng.uniform(50, 80)
    images = {}
    for view, u, size in (("coronal", x, 64), ("sagittal", y, 32)):
        grid = np.stack(np.meshgrid(np.arange(size), np.arange(96), indexing="ij"), axis=-1)
        spot = 8 * np.exp(-((grid - [u, z]) ** 2).sum(axis=-1) / 8)
        decoy = 15 * np.exp(-((grid - [size / 2, rng.uniform(12, 18)]) ** 2).sum(axis=-1) / 60)
        mip = 1 + spot + decoy + 0.1 * rng.standard_normal(spot.shape)
        images[view] = np.stack([np.maximum(mip, 0), np.zeros_like(spot)]).astype(np.float32)
    return Example(images, {"coronal": (x, z), "sagittal": (y, z)}, cancer_type, f"case{number}")


@pytest.fixture(scope="module")
def patients() -> list[Example]:
    return [patient(number) for number in range(30)]


@pytest.fixture(scope="module")
def trained(patients):
    reports: list[EpochReport] = []
    return train(patients, SETTINGS, report=lambda r: bool(reports.append(r)), augmentation=GENTLE), reports


def test_it_learns_to_find_the_spot_and_not_the_decoy(trained):
    best = next(r for r in reversed(trained[0].epochs) if r.best)
    assert best.localisation_rate == 1.0
    assert best.type_accuracy >= 0.8
    assert best.val_loss < 0.5 * trained[0].epochs[0].val_loss


def test_it_reports_every_epoch(trained):
    result, reports = trained
    assert result.epochs == reports
    assert [r.epoch for r in reports] == list(range(1, len(reports) + 1))
    assert all(r.total_epochs == SETTINGS.epochs for r in reports)
    assert all(math.isfinite(value) for r in reports for value in asdict(r).values())
    bests = [r.val_loss for r in reports if r.best]
    assert bests == sorted(bests, reverse=True) and bests[-1] == min(r.val_loss for r in reports)


def test_the_model_is_that_of_the_best_epoch_and_can_be_saved(trained, tmp_path):
    model = trained[0].model
    assert model.history["validated_on"] == "held-out patients"
    assert (model.history["held_out"], model.history["patients"]) == (6, {"lung": 15, "oesophagus": 15})
    json.dumps(model.history)
    save_model(model, tmp_path / "model.pt")
    assert load_model(tmp_path / "model.pt").version == model.version


def test_the_best_epoch_is_kept_when_later_ones_are_worse(patients, trained):
    wild = settings_from(**{**SETTINGS.to_dict(), "epochs": 30, "learning_rate": 0.3})
    spoilt = train(patients, wild, trained[0].model, augmentation=GENTLE, report=lambda r: r.epoch > 1 and not r.best)
    assert not spoilt.epochs[-1].best
    still = settings_from(**{**SETTINGS.to_dict(), "epochs": 1, "learning_rate": 1e-7})
    again = train(patients, still, spoilt.model, augmentation=GENTLE)
    assert again.initial["val_loss"] == pytest.approx(min(r.val_loss for r in spoilt.epochs), rel=1e-3)


THREE = replace(SETTINGS, types=("lung", "oesophagus", "melanoma"))


def test_weights_can_be_better_though_a_type_is_rare(trained):
    hopeless = settings_from(**{**THREE.to_dict(), "learning_rate": 1e-7, "epochs": 1})
    able = settings_from(**{**THREE.to_dict(), "epochs": 14})
    patients = [*(patient(n) for n in range(24)), replace(patient(90), cancer_type="melanoma")]
    incumbent = train(patients, hopeless, augmentation=GENTLE).model
    result = train(patients, able, augmentation=GENTLE, incumbent=incumbent, judging=0.5)
    assert result.better
    assert result.judgement is not None and result.judgement.p_better <= LEVEL
    assert result.model.history["judged"] == ["lung", "oesophagus"]
    assert result.model.history["patients"]["melanoma"] == 1


def test_it_stops_when_told(patients):
    result = train(patients[:10], SETTINGS, report=lambda r: r.epoch == 2)
    assert len(result.epochs) == 2


def test_it_stops_when_patience_ends(patients):
    hopeless = settings_from(**{**SETTINGS.to_dict(), "learning_rate": 1e-7, "patience": 1, "epochs": 20})
    assert len(train(patients[:8], hopeless, augmentation=GENTLE).epochs) < 20


def test_the_same_seed_learns_the_same(patients):
    short = settings_from(**{**SETTINGS.to_dict(), "epochs": 2})
    versions = {train(patients[:10], short).model.version for _ in range(2)}
    assert len(versions) == 1


def test_more_training_starts_from_the_weights_and_leaves_them_alone(patients, trained):
    initial = trained[0].model
    before = initial.version
    short = settings_from(**{**SETTINGS.to_dict(), "epochs": 1, "learning_rate": 1e-7})
    result = train(patients, short, initial)
    assert result.initial["localisation_rate"] == 1.0
    assert result.epochs[0].localisation_rate == 1.0
    assert type(initial)(initial.network, initial.settings).version == before
    assert result.epochs[0].val_loss == pytest.approx(result.initial["val_loss"], rel=0.05)


def test_a_worse_model_is_not_better(patients, trained):
    short = settings_from(**{**SETTINGS.to_dict(), "epochs": 1, "learning_rate": 1e-7})
    untrained = train(patients, short).model
    assert not train(patients, short, incumbent=trained[0].model).better
    assert train(patients, short, trained[0].model, augmentation=GENTLE, incumbent=untrained, judging=0.5).better


def test_what_no_patient_was_held_out_to_show_is_not_better(patients):
    short = settings_from(**{**SETTINGS.to_dict(), "epochs": 1})
    untrained = train(patients[:6], short).model
    assert not train(patients[:6], short, incumbent=untrained).better


def test_examples_are_not_modified(patients):
    before = patients[0].images["coronal"].copy()
    train(patients[:6], settings_from(**{**SETTINGS.to_dict(), "epochs": 1}))
    assert np.array_equal(before, patients[0].images["coronal"])


@pytest.mark.parametrize(
    ("numbers", "said"),
    [([], "no patient has a seed"), ([0, 1], "training needs 2"), ([0, 2, 4], "3 lung, 0 oesophagus")],
)
def test_too_few_patients_are_refused(numbers, said):
    with pytest.raises(TrainingError, match=said):
        train([patient(n) for n in numbers], SETTINGS)


def test_four_patients_are_enough(patients):
    result = train(patients[:4], settings_from(**{**SETTINGS.to_dict(), "epochs": 1}))
    assert result.model.history["validated_on"] == "the training patients"


def test_patients_without_tumour_are_learned(patients):
    settings = settings_from(**{**SETTINGS.to_dict(), "epochs": 1, "no_tumour": True})
    healthy = [Example(patient(n).images, None, NO_TUMOUR) for n in range(100, 104)]
    result = train([*patients[:6], *healthy], settings)
    assert result.model.history["no_tumour"] == 4
    assert math.isfinite(result.epochs[0].loss)


def test_images_go_to_the_device_once(patients, trained, monkeypatch):
    moved, to = Counter(), Example.to
    monkeypatch.setattr(Example, "to", lambda example, device: moved.update([example.name]) or to(example, device))
    train(patients, replace(SETTINGS, epochs=2), incumbent=trained[0].model)
    assert moved == {patient.name: 1 for patient in patients}


@needs_gpu
def test_a_gpu_learns_what_the_cpu_does(patients, trained, tmp_path):
    on_gpu = train(patients, SETTINGS, augmentation=GENTLE, device="cuda")
    on_cpu = trained[0]
    best = {one: min(epoch.val_loss for epoch in one.epochs) for one in (on_gpu, on_cpu)}
    assert best[on_gpu] < 0.5 * on_cpu.epochs[0].val_loss
    assert best[on_gpu] == pytest.approx(best[on_cpu], abs=0.5)
    save_model(on_gpu.model, tmp_path / "model.pt")
    loaded = load_model(tmp_path / "model.pt", "cpu")
    assert loaded.version == on_gpu.model.version
    still = replace(SETTINGS, epochs=1, learning_rate=1e-7)
    initial = train(patients, still, loaded).initial
    assert initial is not None
    assert initial["val_loss"] == pytest.approx(best[on_gpu], abs=0.02)


class Asked(TorchDispatchMode):
    """What asks a device for values: a GPU would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        masks = func.overloadpacket is torch.ops.aten.index and any(
            i is not None and i.dtype == torch.bool for i in args[1]
        )
        if masks or func.overloadpacket.__name__ in ("_local_scalar_dense", "nonzero", "masked_select"):
            self.calls.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("distance", ["likelihood", "expected"])
def test_neither_a_batch_nor_its_losses_ask_the_device_for_values(patients, distance):
    settings = replace(SETTINGS, no_tumour=True, distance=distance, batch_size=4)
    healthy = [Example(patient(n).images, None, NO_TUMOUR) for n in (100, 101)]
    samples = [example.to("cpu") for example in [*patients[:6], *healthy]]
    network = new_network(settings).train()
    with Asked() as asked:
        for batch in augmented_batches(samples, settings, np.random.default_rng(0), Augmentation()):
            cams, scores, first, second = losses(network, batch, settings)
            (first + second).backward()
            localisation_error_mm(cams, scores, batch, settings)
        assert not asked.calls
        assert bool(second > 0) and len(asked.calls) == 1


@needs_gpu
def test_a_gpu_is_not_waited_for_within_an_epoch(patients):
    samples, rng = [patient.to("cuda") for patient in patients], np.random.default_rng(0)
    network = new_network(SETTINGS).to("cuda").train()
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    for batch in augmented_batches(samples[:6], SETTINGS, rng, Augmentation()):
        step(network, batch, SETTINGS, optimiser)  # what is set up once may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in augmented_batches(samples, SETTINGS, rng, Augmentation()):
            step(network, batch, SETTINGS, optimiser)
    finally:
        torch.cuda.set_sync_debug_mode("default")
