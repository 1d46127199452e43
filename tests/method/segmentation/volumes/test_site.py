from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wslpet.core.settings import settings_from
from wslpet.method.network.checkpoint import Model, new_network
from wslpet.method.network.coarse_segmenter import load_network
from wslpet.method.segmentation.volumes import site
from wslpet.method.segmentation.volumes.lesion_mips import LesionExample, LesionMip
from wslpet.method.segmentation.volumes.site import share_at_lesion, with_segmenter
from wslpet.method.training.parts import split

SETTINGS = settings_from(widths=(8,) * 8, epochs=2, segmenter_steps=1)


def mip(column: int, known: bool = True) -> LesionMip:
    image = np.full((220, 100), 0.2, dtype=np.float32)
    image[10:210, 20:80] = 1.0
    lesions = np.zeros(image.shape, dtype=bool)
    if known:
        lesions[100:110, column : column + 8] = True
    image[100:110, column : column + 8] = 8.0
    return LesionMip(image, lesions, lesions, np.zeros_like(lesions))


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(new_network(SETTINGS).eval(), SETTINGS, {"held_out": 3})


@pytest.fixture(scope="module")
def examples() -> list[LesionExample]:
    return [LesionExample((mip(25 + n),), ("lung", "oesophagus")[n % 2], f"patient {n}") for n in range(24)]


def test_it_learns_and_says_what(model, examples, monkeypatch):
    monkeypatch.setattr(site, "share_at_lesion", lambda network, mips: 0.5)
    learned = with_segmenter(model, examples, 0.2)
    parts = split(examples, SETTINGS.validation, 0.2)
    assert learned.segmenter is not None and learned.version != model.version
    assert learned.history["held_out"] == 3
    told = learned.history["segmenter"]
    assert (told["patients"], told["steps"], told["views"]) == (len(parts.learning), 2, len(parts.stopping))
    assert told["strongest_place"] == [0.5, 0.5] and told["kept"] is True


def test_patients_who_judge_or_choose_teach_nothing(model, examples, monkeypatch):
    drawn: set[int] = set()

    def train(draw, steps, initial, *others):
        rng = np.random.default_rng(0)
        drawn.update(id(draw(rng)) for _ in range(2000))
        return initial

    monkeypatch.setattr(site, "train_coarse", train)
    with_segmenter(model, examples, 0.3)
    parts = split(examples, SETTINGS.validation, 0.3)
    assert parts.judging and parts.stopping
    assert drawn == {id(one.mips[0]) for one in parts.learning}


def test_what_was_learned_is_dropped_if_it_is_worse(model, examples, monkeypatch):
    shares = iter((0.9, 0.8))
    monkeypatch.setattr(site, "share_at_lesion", lambda network, mips: next(shares))
    initial = load_network()
    left = with_segmenter(model, examples, 0.2, initial)
    assert left.segmenter is initial and left.history["segmenter"]["kept"] is False
    assert left.history["segmenter"]["strongest_place"] == [0.9, 0.8]


@pytest.mark.parametrize("why", ["no steps", "nobody ill", "parts of bodies"])
def test_nothing_to_learn_leaves_the_segmenter_as_it_is(model, examples, why):
    if why == "no steps":
        model = replace(model, settings=replace(SETTINGS, segmenter_steps=0))
    elif why == "nobody ill":
        examples = [replace(one, mips=(mip(30, known=False),)) for one in examples]
    else:
        examples = [replace(one, mips=()) for one in examples]
    left = with_segmenter(model, examples, 0.2)
    assert left.segmenter is None and left.version == model.version and "segmenter" not in left.history


def test_the_share_counts_mips_whose_strongest_place_is_at_a_lesion(monkeypatch):
    def at(row: int, column: int):
        def probability(network, image):
            found = np.zeros(image.shape)
            found[row, column] = 1
            return found

        return probability

    mips = [mip(30), mip(60)]
    for place, share in (((105, 33), 0.5), ((105, 39), 0.5), ((105, 41), 0.0), ((50, 33), 0.0)):
        monkeypatch.setattr(site, "find_on_grid", at(*place))
        assert share_at_lesion(load_network(), mips) == share


def test_a_strongest_place_that_nobody_clicked_does_not_count(monkeypatch):
    found = np.zeros((220, 100))
    found[50, 33], found[105, 33] = 1, 0.5
    monkeypatch.setattr(site, "find_on_grid", lambda network, image: found)
    unsaid = mip(30)
    unsaid.unknown[45:55, 30:40] = True
    assert share_at_lesion(load_network(), [mip(30)]) == 0
    assert share_at_lesion(load_network(), [unsaid]) == 1
