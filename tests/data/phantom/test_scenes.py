from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from wslpet.data.phantom.scenes import KINDS, make_scene


@pytest.mark.parametrize("seed", range(6))
def test_a_scene_is_a_scan_with_a_click_on_one_lesion(seed):
    scene = make_scene(seed)
    assert scene.kind == KINDS[seed % len(KINDS)]
    assert scene.truth.shape == scene.volume.shape
    assert scene.volume.array.dtype == np.float32 and (scene.volume.array >= 0).all()
    assert scene.truth[tuple(scene.click.astype(int))]
    parts, _ = label(scene.truth)
    assert np.bincount(parts.ravel())[1:].max() > 0.9 * scene.truth.sum()
    again = make_scene(seed)
    assert np.array_equal(again.volume.array, scene.volume.array) and np.array_equal(again.click, scene.click)


def test_lesions_are_of_all_sizes():
    volumes = [(scene.truth.sum() * scene.volume.voxel_ml, scene.kind) for scene in map(make_scene, range(60))]
    small = [ml for ml, kind in volumes if kind != "large"]
    assert min(small) < 1.5 and max(small) > 10
    assert max(ml for ml, kind in volumes if kind == "large") > 400
