from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wslpet.data.phantom import PRESETS, make_patient
from wslpet.data.pretraining.segmenter import (
    VOXEL_MM,
    WINDOW,
    PhantomMip,
    cached_mips,
    phantom_mips,
    sample,
    simulated,
    train_coarse,
)

ILL = 500_002


@pytest.fixture(scope="module")
def mips() -> list[PhantomMip]:
    return phantom_mips("lifelike", ILL)


@pytest.fixture
def mip(mips: list[PhantomMip]) -> PhantomMip:
    return mips[0]


def test_lesions_and_where_they_are_visible(mip: PhantomMip) -> None:
    patient = make_patient(ILL, PRESETS["lifelike"], VOXEL_MM)
    truth = patient.truth.array > 0
    # Displayed: head at the top, the patient's right on the left, as wide as the scan from any side.
    columns, across = mip.image.shape[1], truth.shape[0]
    first = columns // 2 - across + across // 2
    body = slice(first, first + across)
    assert np.array_equal(mip.lesions[:, body], truth.any(axis=1)[::-1, ::-1].T)
    assert np.array_equal(mip.image[:, body], patient.volume.array.max(axis=1)[::-1, ::-1].T)
    assert mip.visible.any() and not (mip.visible & ~mip.lesions).any()


@pytest.mark.parametrize(("kind", "ill"), [("several", True), ("none", False)])
def test_kinds_of_phantoms(kind: str, ill: bool) -> None:
    volume, lesions = simulated(kind, 5)
    assert lesions.shape == volume.shape and lesions.any() == ill


def test_a_window_keeps_lesions_in_place_and_ignores_hidden_ones(mip: PhantomMip) -> None:
    bright = PhantomMip(np.where(mip.lesions, 9.0, 0.5).astype(np.float32), mip.lesions, mip.lesions)
    hidden = PhantomMip(bright.image, mip.lesions, np.zeros_like(mip.lesions))
    for seed in range(6):
        inputs, lesions, weight = sample(bright, np.random.default_rng(seed))
        assert inputs.shape == (3, *WINDOW) and lesions.shape == weight.shape == WINDOW
        assert (weight == 1).all()
        assert lesions.any() and inputs[0][lesions > 0].mean() > 2 * inputs[0][lesions == 0].mean()
        _, lesions, weight = sample(hidden, np.random.default_rng(seed))
        assert np.array_equal(weight == 0, lesions > 0)


def test_the_cache_gives_back_what_was_simulated(mips: list[PhantomMip], tmp_path: Path) -> None:
    for cached in (cached_mips("lifelike", ILL, tmp_path), cached_mips("lifelike", ILL, tmp_path)):
        for one, mip in zip(cached, mips, strict=True):
            assert np.allclose(one.image, mip.image, rtol=2e-3, atol=1e-3)
            assert np.array_equal(one.lesions, mip.lesions) and np.array_equal(one.visible, mip.visible)


def test_training_lowers_the_loss_and_is_repeatable(mips: list[PhantomMip]) -> None:
    losses: list[float] = []
    first = train_coarse({"lifelike": [mips]}, 5, report=lambda step, loss: losses.append(loss))
    assert np.mean(losses[-2:]) < losses[0]
    again = train_coarse({"lifelike": [mips]}, 5, random_seed=0)
    for one, other in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert one.allclose(other)
