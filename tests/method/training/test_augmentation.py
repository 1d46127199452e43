from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers.point_sources import hot_pixel, point_source
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.settings import settings_from
from wslpet.method.network.inputs import Batch, Example, Sample
from wslpet.method.projection.mip import VIEWS
from wslpet.method.training.augmentation import Augmentation, apply_augmentation, augmented_batches, sample_augmentation

SETTINGS = settings_from()


def augment(sample: Sample, seed: int, how: Augmentation) -> Batch:
    return apply_augmentation([sample_augmentation(sample, SETTINGS, np.random.default_rng(seed), how)], SETTINGS, how)


def image(batch: Batch, view: str, number: int = 0) -> np.ndarray:
    """(2, u, z) of one patient, without padding."""
    u, z = batch.sizes[view][number].tolist()
    return batch.images[view][number, :, :u, :z].numpy()


@pytest.mark.parametrize("z", [20.0, 60.0, 83.0])
@pytest.mark.parametrize("partial", [0.0, 1.0])
def test_an_augmented_seed_stays_on_the_hot_spot(partial, z):
    how = Augmentation(zoom=0.6, gain=0.3, jitter_mm=0.0, partial=partial, noise=0.0)
    original, heights = point_source(z).to("cpu"), set()
    for seed in range(25):
        batch = augment(original, seed, how)
        heights.add(image(batch, "coronal").shape[2])
        assert image(batch, "coronal").shape[2] == image(batch, "sagittal").shape[2]
        for view in VIEWS:
            assert np.abs(hot_pixel(image(batch, view)[0]) - batch.points[view][0].numpy()).max() < 0.15
    assert len(heights) > 5


def test_the_depth_grows_with_the_body():
    how = Augmentation(zoom=0.6, jitter_mm=0.0, partial=0.0, noise=0.0)
    for seed in range(5):
        batch = augment(point_source().to("cpu"), seed, how)
        zoom = image(batch, "coronal").shape[2] / 100
        assert image(batch, "coronal")[1].max() / 30 == pytest.approx(zoom, abs=0.01)


def test_augmenting_leaves_the_patient_alone():
    original = point_source()
    before = {view: image.copy() for view, image in original.images.items()}
    augment(original.to("cpu"), 0, Augmentation())
    assert all(np.array_equal(before[view], original.images[view]) for view in VIEWS)
    assert original.points == point_source().points


def test_the_jitter_is_that_of_a_click():
    how = Augmentation(zoom=0.0, gain=0.0, jitter_mm=6.0, partial=0.0, noise=0.0)
    offsets = []
    for seed in range(200):
        batch = augment(point_source().to("cpu"), seed, how)
        offsets.append(batch.points["coronal"][0].numpy() - hot_pixel(image(batch, "coronal")[0]))
    assert np.std(offsets) * SETTINGS.grid_mm == pytest.approx(6.0, rel=0.15)


def test_gain_and_noise_change_suv_only_so_far():
    how = Augmentation(zoom=0.0, gain=0.25, jitter_mm=0.0, partial=0.0, noise=0.0)
    gains = [image(augment(point_source().to("cpu"), seed, how), "coronal")[0].max() / 20 for seed in range(50)]
    assert 0.7 < min(gains) < 0.85 and 1.15 < max(gains) < 1.3
    assert augment(point_source().to("cpu"), 0, Augmentation(noise=1.0)).images["coronal"].min() >= 0


def test_no_tumour_patients_are_augmented_too():
    healthy = Example(point_source().images, None, NO_TUMOUR).to("cpu")
    settings, how = settings_from(no_tumour=True), Augmentation(partial=1.0)
    batch = apply_augmentation([sample_augmentation(healthy, settings, np.random.default_rng(0), how)], settings, how)
    assert not batch.seeded.any()


def test_patients_of_a_batch_are_changed_as_each_alone():
    how = Augmentation(partial=1.0)
    rng = np.random.default_rng(0)
    changes = [sample_augmentation(point_source(z).to("cpu"), SETTINGS, rng, how) for z in (20.0, 60.0, 83.0)]
    together = apply_augmentation(changes, SETTINGS, how)
    for number, change in enumerate(changes):
        alone = apply_augmentation([change], SETTINGS, how)
        for view in VIEWS:
            assert np.array_equal(image(together, view, number), image(alone, view))
            u, z = change.size(view)
            assert not together.images[view][number, :, u:].any() and not together.images[view][number, :, :, z:].any()


def test_noise_of_a_generator_is_as_strong_as_numpys_and_stays_inside():
    """As on a GPU; the rest of a change does not depend on who draws the noise."""
    flat = Example({view: np.full((2, 90, 101), 9.0, np.float32) for view in VIEWS}, None, "lung").to("cpu")
    how = Augmentation(zoom=0.0, gain=0.0, partial=0.0)
    change = sample_augmentation(flat, SETTINGS, np.random.default_rng(0), how, noise=False)
    batch = apply_augmentation([change] * 2, SETTINGS, how, torch.Generator().manual_seed(0))
    inside = batch.images["coronal"][:, 0, 2:88, 2:98]
    assert inside.mean().item() == pytest.approx(9.0, abs=0.02)
    assert inside.std().item() == pytest.approx(how.noise * 3, rel=0.05)
    assert not torch.equal(inside[0], inside[1])
    assert not batch.images["coronal"][..., 101:].any()


def test_every_patient_is_drawn_once_beside_patients_of_like_length():
    settings, gentle = settings_from(batch_size=4), Augmentation(zoom=0.05, gain=0.0, partial=0.0, noise=0.0)
    patients = [
        Example({view: np.full((2, 20, z), 1.0 + n, np.float32) for view in VIEWS}, None, "lung").to("cpu")
        for n, z in enumerate([96] * 15 + [288] * 15)
    ]
    batches = list(augmented_batches(patients, settings, np.random.default_rng(0), gentle))
    found = [round(suv.item()) - 1 for batch in batches for suv in batch.images["coronal"][:, 0].amax(dim=(1, 2))]
    assert sorted(found) == list(range(30))
    assert sorted(len(batch.types) for batch in batches) == [2, 4, 4, 4, 4, 4, 4, 4]
    lengths = [set((batch.sizes["coronal"][:, 1] > 200).tolist()) for batch in batches]
    assert sum(len(kinds) == 2 for kinds in lengths) <= 1
