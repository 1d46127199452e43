from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from lib.errors import TrainingError
from lib.examples import Augmentation, Example
from lib.model import load_model, save_model
from lib.settings import settings_from
from lib.training import EpochReport, _is_better, drawn, train

SETTINGS = settings_from(
    widths=(8, 8, 16, 16, 16, 16, 16, 16), epochs=14, learning_rate=5e-3, patience=14, batch_size=6
)
GENTLE = Augmentation(zoom=0.05, gain=0.1, jitter_mm=1.0, partial=0.0, noise=0.0)


def patient(number: int) -> Example:
    """A small hot spot, off-centre to one side for lung, in the middle for oesophagus; and a hotter, larger decoy."""
    rng = np.random.default_rng(number)
    cancer_type = ("lung", "oesophagus")[number % 2]
    x = 32 + (rng.choice([-1, 1]) * rng.uniform(11, 16) if cancer_type == "lung" else rng.uniform(-2, 2))
    y, z = rng.uniform(10, 22), rng.uniform(50, 80)
    images = {}
    for view, u, size in (("face", x, 64), ("profile", y, 32)):
        grid = np.stack(np.meshgrid(np.arange(size), np.arange(96), indexing="ij"), axis=-1)
        spot = 8 * np.exp(-((grid - [u, z]) ** 2).sum(axis=-1) / 8)
        decoy = 15 * np.exp(-((grid - [size / 2, rng.uniform(12, 18)]) ** 2).sum(axis=-1) / 60)
        mip = 1 + spot + decoy + 0.1 * rng.standard_normal(spot.shape)
        images[view] = np.stack([np.maximum(mip, 0), np.zeros_like(spot)]).astype(np.float32)
    return Example(images, {"face": (x, z), "profile": (y, z)}, cancer_type, f"case{number}")


@pytest.fixture(scope="module")
def patients() -> list[Example]:
    return [patient(number) for number in range(30)]


@pytest.fixture(scope="module")
def trained(patients):
    reports: list[EpochReport] = []
    return train(patients, SETTINGS, report=lambda r: bool(reports.append(r)), augmentation=GENTLE), reports


def test_it_learns_to_find_the_spot_and_not_the_decoy(trained):
    best = next(r for r in reversed(trained[0].epochs) if r.best)
    assert best.seed_hit == 1.0
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
    assert result.initial["seed_hit"] == 1.0
    assert result.epochs[0].seed_hit == 1.0
    assert type(initial)(initial.network, initial.settings).version == before
    assert result.epochs[0].val_loss == pytest.approx(result.initial["val_loss"], rel=0.05)


def test_a_worse_model_is_not_better(patients, trained):
    short = settings_from(**{**SETTINGS.to_dict(), "epochs": 1, "learning_rate": 1e-7})
    untrained = train(patients, short).model
    assert not train(patients, short, incumbent=trained[0].model).better
    assert train(patients, short, trained[0].model, augmentation=GENTLE, incumbent=untrained).better


def test_what_no_patient_was_held_out_to_show_is_not_better(patients):
    short = settings_from(**{**SETTINGS.to_dict(), "epochs": 1})
    untrained = train(patients[:6], short).model
    assert not train(patients[:6], short, incumbent=untrained).better


@pytest.mark.parametrize(
    ("gains", "better"),
    [([0.3, 0.2, 0.4], True), ([0.9, -0.3, -0.2, 0.1], False), ([-0.3, -0.2], False), ([0.5], False), ([], False)],
)
def test_better_is_by_more_than_chance(gains, better):
    assert _is_better(np.array(gains)) is better


def test_a_loss_that_is_no_number_is_not_better():
    assert not _is_better(np.array([0.5, np.nan, 0.4]))


def test_examples_are_not_modified(patients):
    before = patients[0].images["face"].copy()
    train(patients[:6], settings_from(**{**SETTINGS.to_dict(), "epochs": 1}))
    assert np.array_equal(before, patients[0].images["face"])


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
    healthy = [Example(patient(n).images, None, "no tumour") for n in range(100, 104)]
    result = train([*patients[:6], *healthy], settings)
    assert result.model.history["no_tumour"] == 4
    assert math.isfinite(result.epochs[0].loss)


def test_every_patient_is_drawn_once_beside_patients_of_like_length(patients):
    settings = settings_from(batch_size=4)
    long = [replace(p, images={v: np.tile(i, (1, 1, 3)) for v, i in p.images.items()}) for p in patients[:15]]
    batches = list(drawn(long + patients[15:], settings, np.random.default_rng(0), GENTLE))
    assert sorted(e.name for batch in batches for e in batch) == sorted(e.name for e in patients)
    assert sorted(map(len, batches)) == [2, 4, 4, 4, 4, 4, 4, 4]
    lengths = [{e.images["face"].shape[2] > 200 for e in batch} for batch in batches]
    assert sum(len(kinds) == 2 for kinds in lengths) <= 1
