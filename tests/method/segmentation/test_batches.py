"""Augmented batches: image, lesions and place stay together."""

import numpy as np
import pytest
import torch

from tests.helpers.mip_people import training_set
from wslpet.core.errors import TrainingError
from wslpet.method.network.coarse_segmenter import GRID_MM
from wslpet.method.segmentation.batches import COLUMNS, WINDOW, Augmentation, Sampler, TrainingSet
from wslpet.method.segmentation.implants import implant_library

STILL = Augmentation(scale=0, aspect=0, rotation=0, gain=0, gamma=0, noise=0)


def sampler(config: Augmentation, people: TrainingSet, implants: bool = True) -> Sampler:
    library = implant_library(people.images, people.lesions) if implants else None
    return Sampler(people, ("lung",), config, library, np.random.default_rng(0))


def test_lesions_lie_on_their_uptake_whatever_the_change():
    batch = sampler(Augmentation(noise=0), training_set(np.random.default_rng(0))).draw(6, 0, 0)
    uptake = batch.inputs[:, 0] ** 2 * 7
    inside = uptake[(batch.lesions > 0) & (batch.weight > 0)]
    assert batch.lesions.sum() > 75 and (inside > 2).float().mean() > 0.95


def test_places_are_those_of_the_frame():
    batch = sampler(STILL, training_set(np.random.default_rng(0))).draw(2, 0, 2)
    columns = batch.inputs[:, 3, WINDOW // 2]
    assert columns.shape[1] == COLUMNS
    assert torch.allclose(columns.diff(dim=1), torch.full_like(columns[:, 1:], GRID_MM / 160), atol=1e-3)
    assert columns.min() >= -1.61 and columns.max() <= 1.61
    assert (batch.inputs[:, 2, -1] > batch.inputs[:, 2, 0]).all()


def test_people_without_a_lesion_have_no_type():
    batch = sampler(STILL, training_set(np.random.default_rng(0))).draw(0, 0, 8)
    assert (batch.types == -1).all() and not batch.lesions.any()


def test_a_mirrored_window_is_on_the_other_side_of_the_body():
    batch = sampler(STILL, training_set(np.random.default_rng(0))).draw(8, 0, 8)
    rising = batch.inputs[:, 3, WINDOW // 2].diff(dim=1).mean(dim=1) > 0
    assert rising.all()  # columns are counted from the patient's right, mirrored or not


def test_implants_make_lesions_in_people_without():
    batch = sampler(STILL, training_set(np.random.default_rng(0))).draw(0, 4, 0)
    assert batch.lesions.flatten(1).any(dim=1).sum() >= 3 and (batch.types == -1).all()


def test_nothing_is_known_outside_the_scan():
    people = training_set(np.random.default_rng(0))
    people.images[:, :, 100:] = np.nan
    batch = sampler(STILL, people).draw(4, 2, 2)
    assert torch.isfinite(batch.inputs).all() and batch.weight.mean() < 0.95
    assert not batch.inputs[:, 0][(batch.inputs[:, 2] > 100 * GRID_MM / 400 - 1 + 0.02) & (batch.weight > 0)].numel()


def test_sets_that_do_not_fit_are_refused():
    people = training_set(np.random.default_rng(0))
    with pytest.raises(TrainingError, match="do not fit together"):
        TrainingSet(people.images, people.lesions[:3], people.known, people.types)
