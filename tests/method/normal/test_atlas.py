"""The atlas of normal uptake: quantiles by hand, people that reach a part only, files."""

import numpy as np
import pytest

from wslpet.core.errors import InputError, ModelError
from wslpet.method.normal.atlas import Atlas, build_atlas, load_atlas, save_atlas
from wslpet.method.normal.frame import FRAME_SHAPE
from wslpet.method.normal.reference import load_reference
from wslpet.method.shipped import NORMAL_REFERENCE

ROWS = 64


def people(count: int) -> np.ndarray:
    images = np.zeros((count, 1, ROWS, FRAME_SHAPE[1]), dtype=np.float32)
    for k in range(count):
        images[k] = 0.1 * k
    return images


def test_quantiles_are_those_of_the_people():
    atlas = build_atlas(people(20))
    assert atlas.people == 20
    assert np.allclose(atlas.quantiles[0, 0], 1.5) and np.allclose(atlas.quantiles[0, 1], 1.9)


def test_a_hot_pixel_counts_for_its_neighbourhood():
    images = people(20)
    images[-2:, 0, 32:34, 100:102] = 9.0
    highest = build_atlas(images).quantiles[0, 1]
    assert highest[16, 50] == 9.0 and highest[14, 51] == 9.0 and highest[16, 60] < 2


def test_what_is_not_normal_is_left_out():
    images, normal = people(20), np.ones((20, 1, ROWS, FRAME_SHAPE[1]), dtype=bool)
    images[:, 0, 30:40, 100:110] = 9.0
    normal[:, 0, 20:50, 90:120] = False
    assert build_atlas(images, normal).quantiles.max() < 2


def test_rows_that_few_reach_take_those_of_the_nearest_row():
    images = people(20)
    images[3:, :, 40:] = np.nan
    quantiles = build_atlas(images).quantiles
    assert np.isfinite(quantiles).all() and np.allclose(quantiles[0, :, 30], quantiles[0, :, 19])


def test_excess_is_above_the_highest_quantile():
    atlas = build_atlas(people(20))
    images = np.full((1, 1, ROWS, FRAME_SHAPE[1]), 1.0, dtype=np.float32)
    images[0, 0, 10, 10], images[0, 0, 11, 11] = 4.0, np.nan
    excess = atlas.excess(images)
    assert excess[0, 0, 10, 10] == pytest.approx(2.1, abs=0.01) and excess.sum() == excess[0, 0, 10, 10]


def test_too_few_people_are_refused():
    with pytest.raises(InputError, match="needs 5 people, there are 4"):
        build_atlas(people(4))


def test_a_file_keeps_the_atlas_and_a_wrong_one_is_refused(tmp_path):
    atlas = Atlas(np.random.default_rng(0).random((2, 2, 16, 8)).astype(np.float32), 7)
    save_atlas(atlas, tmp_path / "atlas.npz")
    again = load_atlas(tmp_path / "atlas.npz")
    assert again.people == 7 and np.allclose(again.quantiles, atlas.quantiles, atol=1e-3)
    (tmp_path / "atlas.npz").write_bytes(b"no atlas")
    with pytest.raises(ModelError, match=r"atlas\.npz cannot be read"):
        load_atlas(tmp_path / "atlas.npz")


def test_the_shipped_reference_knows_brain_and_bladder():
    if not NORMAL_REFERENCE.exists():
        pytest.skip("the reference is built by wslpet.data.pretraining.normal")
    atlas = load_reference().atlas
    middle = atlas.quantiles[0, 0][:, 48:80].max(axis=1)
    assert middle[:60].max() > 4 and middle[150:230].max() > 4  # brain, and bladder below the liver
