from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from wslpet.data.phantom import PRESETS, make_patient
from wslpet.data.pretraining import segmenter
from wslpet.data.pretraining.segmenter import (
    KINDS,
    VOXEL_MM,
    cached_mips,
    mean_of,
    phantom_mips,
    pretrained,
    simulated,
)
from wslpet.method.network.coarse_segmenter import CoarseNet
from wslpet.method.segmentation.volumes.lesion_mips import LesionMip

ILL = 500_002


@pytest.fixture(scope="module")
def mips() -> list[LesionMip]:
    return phantom_mips("lifelike", ILL)


@pytest.fixture
def mip(mips: list[LesionMip]) -> LesionMip:
    return mips[0]


def test_lesions_and_where_they_are_visible(mip: LesionMip) -> None:
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


def test_the_cache_gives_back_what_was_simulated(mips: list[LesionMip], tmp_path: Path) -> None:
    for cached in (cached_mips("lifelike", ILL, tmp_path), cached_mips("lifelike", ILL, tmp_path)):
        for one, mip in zip(cached, mips, strict=True):
            assert np.allclose(one.image, mip.image, rtol=2e-3, atol=1e-3)
            assert np.array_equal(one.lesions, mip.lesions) and np.array_equal(one.visible, mip.visible)


def test_training_draws_the_kinds_by_their_shares(mips: list[LesionMip], monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {kind: [[replace(mips[0])]] for kind in KINDS}

    def train(draw: Callable[[np.random.Generator], LesionMip], *args: object, **others: object) -> list[LesionMip]:
        rng = np.random.default_rng(0)
        return [draw(rng) for _ in range(2000)]

    monkeypatch.setattr(segmenter, "train_coarse", train)
    drawn = pretrained(kinds, 1)
    for kind, (_, _, share) in KINDS.items():
        assert np.mean([one is kinds[kind][0][0] for one in drawn]) == pytest.approx(share, abs=0.04)


def test_the_mean_of_two_networks_is_that_of_their_weights() -> None:
    torch.manual_seed(0)
    one, other = CoarseNet(), CoarseNet()
    first = {name: values.clone() for name, values in one.state_dict().items()}
    mean = mean_of(one, other).state_dict()
    for name, values in other.state_dict().items():
        expected = (first[name] + values) / 2 if values.dtype.is_floating_point else first[name]
        assert torch.allclose(mean[name].float(), expected.float())
        assert torch.equal(one.state_dict()[name], first[name])
