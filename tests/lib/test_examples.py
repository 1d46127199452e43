from __future__ import annotations

import numpy as np
import pytest
import torch
from blobs import STORAGES, empty, scan, stored_as

from lib.errors import SeedError
from lib.examples import Augmentation, Example, augment, collate, network_channels, prepare
from lib.projection import VIEWS
from lib.seeds import NO_TUMOUR, Seed
from lib.settings import settings_from

SETTINGS = settings_from()


def hot_pixel(mip: np.ndarray) -> np.ndarray:
    above = np.clip(mip - 0.4 * mip.max(), 0, None)
    return np.array([(np.arange(n) * above.sum(axis=1 - a)).sum() / above.sum() for a, n in enumerate(mip.shape)])


@pytest.mark.parametrize("spacing", [(4.0, 4.0, 4.0), (3.0, 5.0, 6.5)])
@pytest.mark.parametrize(("permutation", "flips"), STORAGES[::6])
def test_the_seed_lies_on_the_hot_spot_of_both_views(spacing, permutation, flips):
    shape = tuple(int(n / s) for n, s in zip((180, 150, 210), spacing, strict=True))
    ras = scan(empty(shape, spacing, (-300.0, 77.0, 500.0)), [])
    voxel = np.array(shape) * [2, 1, 3] // [3, 3, 4]
    ras.array[tuple(voxel)] = 80.0
    stored = stored_as(ras, permutation, flips)
    example = prepare(stored, Seed("lung", tuple(ras.to_world(voxel))), SETTINGS)
    for view in VIEWS:
        assert np.abs(hot_pixel(example.images[view][0]) - example.points[view]).max() < 0.5


def test_a_type_that_is_not_configured_and_a_seed_outside_are_refused():
    volume = scan(empty((20, 20, 20)), [])
    with pytest.raises(SeedError, match="case: cancer type 'breast' is not one of lung, oesophagus"):
        prepare(volume, Seed("breast", (10, 10, 10)), SETTINGS)
    with pytest.raises(SeedError, match=r"case: seed at .* lies outside the scan"):
        prepare(volume, Seed("lung", (-10, 10, 10)), SETTINGS)


def test_no_tumour_needs_no_place():
    settings = settings_from(no_tumour=True)
    example = prepare(scan(empty((20, 20, 20)), []), Seed(NO_TUMOUR, (-1e4, 0, 0)), settings)
    assert example.points is None


def test_the_scan_is_not_modified():
    volume = scan(empty((20, 20, 20)), [])
    before = volume.array.copy()
    prepare(volume, Seed("lung", (10, 10, 10)), SETTINGS)
    assert np.array_equal(before, volume.array)


def point_source(z: float = 60.0) -> Example:
    """A Gaussian spot 2 pixels wide at the seed, in both views."""
    points = {"face": (33.0, z), "profile": (12.0, z)}
    images = {}
    for view, u in (("face", 50), ("profile", 30)):
        grid = np.stack(np.meshgrid(np.arange(u), np.arange(100), indexing="ij"), axis=-1)
        spot = 20 * np.exp(-((grid - np.array(points[view])) ** 2).sum(axis=-1) / 8)
        images[view] = np.stack([spot, np.full_like(spot, 30.0)]).astype(np.float32)
    return Example(images, points, "lung", "case")


@pytest.mark.parametrize("z", [20.0, 60.0, 83.0])
@pytest.mark.parametrize("partial", [0.0, 1.0])
def test_an_augmented_seed_stays_on_the_hot_spot(partial, z):
    how = Augmentation(zoom=0.6, gain=0.3, jitter_mm=0.0, partial=partial, noise=0.0)
    original, heights = point_source(z), set()
    for seed in range(25):
        changed = augment(original, SETTINGS, np.random.default_rng(seed), how)
        heights.add(changed.images["face"].shape[2])
        assert changed.images["face"].shape[2] == changed.images["profile"].shape[2]
        for view in VIEWS:
            assert np.abs(hot_pixel(changed.images[view][0]) - changed.points[view]).max() < 0.15
    assert len(heights) > 5


def test_augmenting_leaves_the_patient_alone():
    original = point_source()
    before = {view: image.copy() for view, image in original.images.items()}
    augment(original, SETTINGS, np.random.default_rng(0), Augmentation())
    assert all(np.array_equal(before[view], original.images[view]) for view in VIEWS)
    assert original.points == point_source().points


def test_the_jitter_is_that_of_a_click():
    how = Augmentation(zoom=0.0, gain=0.0, jitter_mm=6.0, partial=0.0, noise=0.0)
    offsets = []
    for seed in range(200):
        changed = augment(point_source(), SETTINGS, np.random.default_rng(seed), how)
        offsets.append(np.array(changed.points["face"]) - hot_pixel(changed.images["face"][0]))
    assert np.std(offsets) * SETTINGS.grid_mm == pytest.approx(6.0, rel=0.15)


def test_gain_and_noise_change_suv_only_so_far():
    how = Augmentation(zoom=0.0, gain=0.25, jitter_mm=0.0, partial=0.0, noise=0.0)
    gains = []
    for seed in range(50):
        gains.append(augment(point_source(), SETTINGS, np.random.default_rng(seed), how).images["face"][0].max() / 20)
    assert 0.7 < min(gains) < 0.85 and 1.15 < max(gains) < 1.3
    noisy = augment(point_source(), SETTINGS, np.random.default_rng(0), Augmentation(noise=1.0))
    assert noisy.images["face"][0].min() >= 0


def test_no_tumour_patients_are_augmented_too():
    healthy = Example(point_source().images, None, NO_TUMOUR)
    assert augment(healthy, SETTINGS, np.random.default_rng(0), Augmentation(partial=1.0)).points is None


def test_channels_are_scaled_mip_view_and_depth():
    images = {view: np.stack([np.full((3, 4), 7.5), np.full((3, 4), 50.0)]).astype(np.float32) for view in VIEWS}
    channels = network_channels(images, SETTINGS)
    for number, view in enumerate(VIEWS):
        assert channels[view][:, 0, 0].tolist() == pytest.approx([0.5, number, 0.5])
    linear = network_channels(images, settings_from("paper"))
    assert linear["face"][:, 0, 0].tolist() == pytest.approx([0.25, 0.0])
    hot = {view: np.full((2, 3, 4), 400.0, np.float32) for view in VIEWS}
    assert network_channels(hot, SETTINGS)["face"][0].max() == 1.0


def test_a_batch_is_padded_at_its_far_ends():
    settings = settings_from("paper", types=("oesophagus", "lung"), no_tumour=True)
    one = point_source()
    other = Example({view: image[:, :-7, :90] for view, image in one.images.items()}, None, NO_TUMOUR)
    batch = collate([one, other], settings)
    assert {view: tuple(images.shape) for view, images in batch.images.items()} == {
        "face": (2, 2, 64, 112),
        "profile": (2, 2, 32, 112),
    }
    assert batch.sizes["face"].tolist() == [[50, 100], [43, 90]]
    assert batch.sizes["profile"].tolist() == [[30, 100], [23, 90]]
    face = batch.images["face"]
    assert torch.equal(face[1, 0, :43, :90], torch.from_numpy(other.images["face"][0] / 30).clamp(0, 1))
    assert not face[1, :, 43:].any() and not face[1, :, :, 90:].any()
    assert batch.types.tolist() == [1, 2]
    assert batch.points["profile"][0].tolist() == [12.0, 60.0]
    assert torch.isnan(batch.points["face"][1]).all()
