from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wslpet.core.seeds import NO_TUMOUR
from wslpet.data.phantom import PRESETS, make_patient
from wslpet.data.phantom.patient import plan_scan
from wslpet.data.pretraining.segmenter import (
    LUNGS_Z,
    PRESET,
    VOXEL_MM,
    KnownPlace,
    PhantomMips,
    cached_mips,
    learn_place,
    phantom_mips,
    training_set,
)
from wslpet.method.normal.reference import load_reference

# With lesions, in a field of view from the brain to the thighs; without.
ILL, WELL = 500_002, 500_001


@pytest.fixture(scope="module")
def people() -> list[PhantomMips]:
    return [phantom_mips(seed) for seed in (ILL, WELL)]


def test_lesions_and_where_they_are_visible(people: list[PhantomMips]) -> None:
    ill, well = people
    assert (ill.cancer_type == NO_TUMOUR, well.cancer_type == NO_TUMOUR) == (False, True)
    assert not any(mask.any() for mask in (*well.lesions, *well.visible))
    truth = make_patient(ILL, PRESETS[PRESET], VOXEL_MM).truth.array > 0
    for image, lesions, visible, ray in zip(ill.images, ill.lesions, ill.visible, (1, 0), strict=True):
        assert lesions.shape == image.pixels.shape
        assert lesions.sum() == truth.any(axis=ray).sum()
        assert visible.any() and not (visible & ~lesions).any()


def test_the_landmark_is_the_centre_of_the_lungs(people: list[PhantomMips]) -> None:
    plan = plan_scan(ILL, PRESETS[PRESET], VOXEL_MM)
    volume = make_patient(ILL, PRESETS[PRESET], VOXEL_MM).volume
    x, y, z = volume.to_index(np.array([0, 0, LUNGS_Z]) * plan.body.scale + plan.offset)
    nx, _, nz = volume.shape
    wanted = ((nz - 0.5 - z) * VOXEL_MM[2], (nx - 0.5 - x) * VOXEL_MM[0], (y + 0.5) * VOXEL_MM[1])
    assert people[0].landmark_mm == pytest.approx(wanted, abs=1e-6)


def test_a_known_body_is_placed_where_the_fit_places_it(people: list[PhantomMips]) -> None:
    reference = load_reference()
    place = learn_place(people, reference)
    for mips in people:
        fitted = reference.place(mips.images)
        known = place.frames(mips, np.random.default_rng(0))
        for image, one, other in zip(mips.images, fitted, known, strict=True):
            middle = (image.pixels.shape[0] / 2, image.pixels.shape[1] / 2)
            shift = 2 * (one.point(middle, image.spacing) - other.point(middle, image.spacing))
            assert np.abs(shift).max() < 60  # mm; SD 7 of the jitter, 12 of the fit, 4 % of the scale


def test_nothing_is_learned_from_hidden_lesions(people: list[PhantomMips]) -> None:
    taught = training_set(people, KnownPlace((348, 255, 250), (1.05, 1.02, 1.04)))
    assert taught.images.shape == taught.lesions.shape == taught.known.shape
    assert taught.types == (people[0].cancer_type, None)
    assert not (~taught.known & ~taught.lesions).any()
    assert taught.lesions[0].any() and not taught.lesions[1].any()
    hidden = [(mask & ~seen).sum() for mask, seen in zip(people[0].lesions, people[0].visible, strict=True)]
    assert (not taught.known.all()) == any(count > 20 for count in hidden)


def test_the_cache_gives_back_what_was_simulated(people: list[PhantomMips], tmp_path: Path) -> None:
    first, again = (cached_mips(WELL, tmp_path) for _ in range(2))
    for one in (first, again):
        assert one.cancer_type == people[1].cancer_type and one.scale == people[1].scale
        assert one.landmark_mm == people[1].landmark_mm
        for mine, wanted in zip(one.images, people[1].images, strict=True):
            assert mine.spacing == pytest.approx(wanted.spacing)
            assert np.allclose(mine.pixels, wanted.pixels, rtol=2e-3, atol=1e-3)
