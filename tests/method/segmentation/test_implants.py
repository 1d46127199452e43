"""Implants: lesions are cut out with their edge, and added where they exceed what is there."""

import numpy as np

from tests.helpers.mip_people import person, training_set
from wslpet.method.segmentation.implants import SMALLEST, implant, implant_library
from wslpet.method.segmentation.network import reduced


def test_each_lesion_is_cut_out_with_its_uptake():
    people = training_set(np.random.default_rng(0))
    library = implant_library(people.images, people.lesions)
    assert 6 <= len(library.views[0]) <= 12  # two each, some of which touch
    for lesion in library.views[0]:
        assert lesion.mask.sum() >= SMALLEST and lesion.values[lesion.mask].min() > 2.5


def test_the_mask_is_where_the_image_became_brighter():
    rng = np.random.default_rng(1)
    people = training_set(rng)
    library = implant_library(people.images, people.lesions)
    image = reduced(person(rng, 0)[0])
    changed, mask = implant(image, library, 0, 0, rng)
    assert mask.any() and (changed >= image).all()
    assert (changed[mask] > image[mask] + 0.3).all()
    assert np.array_equal(changed[~mask & (changed == image)], image[~mask & (changed == image)])


def test_nothing_is_implanted_outside_a_body_or_from_an_empty_library():
    rng = np.random.default_rng(2)
    people = training_set(rng)
    library = implant_library(people.images, people.lesions)
    empty = np.zeros((128, 128), dtype=np.float32)
    assert not implant(empty, library, 0, 0, rng)[1].any()
    nothing = implant_library(people.images, np.zeros_like(people.lesions))
    assert not nothing and not implant(people.images[7, 0], nothing, 0, 0, rng)[1].any()
