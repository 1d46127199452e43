from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from wslpet.method.network.coarse_segmenter import find_on_grid
from wslpet.method.segmentation.volumes.lesion_mips import LesionMip
from wslpet.method.segmentation.volumes.training import KEPT, SMALL, WINDOW, sample, train_coarse


@pytest.fixture(scope="module")
def mip() -> LesionMip:
    """A body with a lesion, and a place beside it of which nobody said what it is."""
    image = np.full((260, 100), 0.2, dtype=np.float32)
    image[10:250, 20:80] = 1.0
    lesions, unknown = np.zeros(image.shape, dtype=bool), np.zeros(image.shape, dtype=bool)
    lesions[125:137, 50:60] = True
    unknown[125:137, 30:40] = True
    image[lesions | unknown] = 9.0
    return LesionMip(image, lesions, lesions, unknown)


def test_a_window_keeps_lesions_in_place_and_ignores_what_is_not_known(mip):
    seen = 0
    for seed in range(12):
        inputs, lesions, weight = sample(mip, np.random.default_rng(seed))
        assert inputs.shape == (3, *WINDOW) and lesions.shape == weight.shape == WINDOW
        seen += bool(lesions.any())
        assert inputs[0][lesions > 0].min() > 0.6
        # Hot, and no lesion: only the place that is not known.
        other = (inputs[0] > 0.9) & (lesions == 0)
        assert (weight[lesions > 0] == 1).all() and (weight[other] == 0).mean() > 0.5
        assert weight.mean() > 0.95
    assert seen == 12


def test_a_hidden_lesion_has_no_weight(mip):
    hidden = LesionMip(mip.image, mip.lesions, np.zeros_like(mip.lesions), np.zeros_like(mip.lesions))
    for seed in range(6):
        _, lesions, weight = sample(hidden, np.random.default_rng(seed))
        assert lesions.any() and np.array_equal(weight == 0, lesions > 0)


def test_a_small_lesion_has_more_weight_the_smaller_it_is(mip):
    lesions = np.zeros_like(mip.lesions)
    for row, size in ((60, 2), (100, 4), (140, 20)):
        lesions[row : row + size, 45 : 45 + size] = True
    several = LesionMip(mip.image, lesions, lesions, np.zeros_like(lesions))
    seen = set()
    for seed in range(12):
        _, drawn, weight = sample(several, np.random.default_rng(seed), 3.0)
        numbers, count = ndimage.label(drawn)
        for number in range(1, count + 1):
            own = weight[numbers == number]
            expected = np.clip(np.sqrt(SMALL / own.size), 1, 3)
            assert own == pytest.approx(np.full(own.size, expected))
            seen.add("small" if expected == 3 else "middle" if expected > 1 else "large")
        assert (weight[drawn == 0] == 1).all()
    assert seen == {"small", "middle", "large"}


def test_training_lowers_the_loss_and_is_repeatable(mip):
    losses: list[float] = []
    first = train_coarse(lambda rng: mip, 6, report=lambda step, loss: losses.append(loss))
    assert len(losses) == 6 and np.mean(losses[-2:]) < losses[0]
    again = train_coarse(lambda rng: mip, 6)
    other = train_coarse(lambda rng: mip, 6, random_seed=1)
    weights = [network.state_dict()["o.weight"] for network in (first, again, other)]
    assert weights[0].allclose(weights[1]) and not weights[0].allclose(weights[2])


def test_training_starts_from_weights_and_leaves_them_unchanged(mip):
    start = train_coarse(lambda rng: mip, 1)
    before = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    learned = train_coarse(lambda rng: mip, 2, start, learning_rate=1e-6)
    assert all(tensor.equal(before[name]) for name, tensor in start.state_dict().items())
    assert learned.state_dict()["o.weight"].allclose(before["o.weight"], atol=1e-4)


def test_the_initial_answer_is_kept_where_nobody_said_what_is_there(mip):
    start = train_coarse(lambda rng: mip, 12)
    before = find_on_grid(start, mip.image)[mip.unknown]
    change = {}
    for kept in (0.0, KEPT):
        learned = train_coarse(lambda rng: mip, 12, start, random_seed=1, kept=kept)
        change[kept] = np.abs(find_on_grid(learned, mip.image)[mip.unknown] - before).mean()
    assert change[KEPT] < 0.5 * change[0.0]
