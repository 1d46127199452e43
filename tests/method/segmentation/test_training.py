"""The segmenter learns lesions from a few people in seconds, and its file keeps it."""

import numpy as np
import pytest
import torch

from tests.helpers.mip_people import BLADDER, person, training_set
from wslpet.core.errors import InputError, ModelError, TrainingError
from wslpet.method.segmentation.batches import TrainingSet
from wslpet.method.segmentation.model import SegmenterSettings, load_segmenter, save_segmenter
from wslpet.method.segmentation.network import FACTOR, reduced
from wslpet.method.segmentation.training import SegmenterTraining, train_segmenter

SMALL = SegmenterSettings(("lung", "lymphoma"), (8, 16, 24, 24))
QUICK = SegmenterTraining(steps=160, ill=2, implanted=1, well=1, learning_rate=1e-2, averaging=0.9)


@pytest.fixture(scope="module")
def segmenter():
    people = training_set(np.random.default_rng(0))
    return train_segmenter(people, SMALL, QUICK)


def test_lesions_of_new_people_are_found_and_the_bladder_is_none(segmenter):
    rng = np.random.default_rng(5)
    images, masks = zip(*(person(rng, 3) for _ in range(4)), strict=True)
    found = segmenter.predict(reduced(np.stack(images)[:, None])).probability[:, 0] > 0.8
    truth = reduced(np.stack(masks)) >= 0.5
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.7
    y, x = (place // FACTOR for place in BLADDER)
    assert not found[:, y - 2 : y + 3, x - 2 : x + 3].any()


def test_types_are_probabilities(segmenter):
    images = training_set(np.random.default_rng(1), 2, 0).images
    assert np.allclose(segmenter.predict(images).types.sum(axis=1), 1, atol=1e-5)


def test_nothing_is_found_outside_the_scan(segmenter):
    image, _ = person(np.random.default_rng(2), 3)
    image = reduced(image)
    image[:45] = np.nan
    probability = segmenter.predict(image[None, None]).probability[0, 0]
    assert not probability[:45].any() and probability[45:].any()


def test_a_file_keeps_the_segmenter(segmenter, tmp_path):
    save_segmenter(segmenter, tmp_path / "segmenter.pt")
    again = load_segmenter(tmp_path / "segmenter.pt")
    image = reduced(person(np.random.default_rng(3), 2)[0])
    one, other = (s.predict(image[None, None]).probability for s in (segmenter, again))
    assert again.settings == SMALL and np.array_equal(one, other)


def test_wrong_files_and_images_are_refused(segmenter, tmp_path):
    torch.save({"format": "other"}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match=r"other\.pt is not a wslpet-segmenter"):
        load_segmenter(tmp_path / "other.pt")
    with pytest.raises(ModelError, match="does not exist"):
        load_segmenter(tmp_path / "none.pt")
    with pytest.raises(InputError, match="are not"):
        segmenter.predict(np.zeros((1, 3, 160, 128), dtype=np.float32))


def test_without_a_lesion_there_is_nothing_to_learn():
    people = training_set(np.random.default_rng(0), 0, 8)
    with pytest.raises(TrainingError, match="no lesion to learn from"):
        train_segmenter(people, SMALL, QUICK)


def test_what_is_unknown_is_not_learned():
    people = training_set(np.random.default_rng(0))
    hidden = TrainingSet(people.images, np.zeros_like(people.lesions), ~people.lesions, people.types)
    hidden.lesions[0] = people.lesions[0]
    hidden.known[0] = True
    segmenter = train_segmenter(hidden, SMALL, QUICK)
    found = segmenter.predict(people.images[1:6]).probability > 0.5
    truth = people.lesions[1:6]
    assert (found & truth).sum() > 0.6 * truth.sum()  # one person's lesions teach those of the others


def test_weights_of_other_types_are_a_start(segmenter):
    people = training_set(np.random.default_rng(0), 2, 6)
    other = SegmenterSettings(("lung", "melanoma", "lymphoma"), SMALL.widths)
    still = SegmenterTraining(steps=2, ill=1, implanted=0, well=1, learning_rate=1e-9, weight_decay=0.0)
    started = train_segmenter(people, other, still, segmenter)
    one, two = segmenter.network.stem[0].weight, started.network.stem[0].weight
    assert torch.allclose(one, two, atol=1e-6)
    assert started.network.type_head.out_features == 3
    with pytest.raises(TrainingError, match="do not fit a network of"):
        train_segmenter(people, SegmenterSettings(("lung",), (8, 16, 16, 16)), still, segmenter)
