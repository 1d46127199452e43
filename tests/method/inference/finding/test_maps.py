from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.blobs import ellipsoid, empty
from wslpet.core.volume import Volume
from wslpet.method.inference.finding import maps
from wslpet.method.inference.finding.maps import ANGLES, LesionMap, displayed, lesion_maps
from wslpet.method.normal.reference import display_images
from wslpet.method.projection.mip import project
from wslpet.method.projection.rotated import rotated_mips


def random_scan(shape) -> Volume:
    rng = np.random.default_rng(0)
    return Volume(rng.random(shape).astype(np.float32), np.diag([4.0, 4.0, 6.0, 1.0]))


def test_the_first_mip_is_displayed_as_the_coronal_view_is():
    volume = random_scan((11, 7, 13))
    shown = displayed(rotated_mips(volume, [0.0])[0])
    coronal, _ = display_images(project(volume))
    columns = np.flatnonzero(shown.pixels.any(axis=0))
    assert np.array_equal(shown.pixels[:, columns[0] : columns[-1] + 1], coronal.pixels)
    assert shown.spacing == coronal.spacing


def test_a_map_has_the_pixels_of_its_mip():
    found = lesion_maps(random_scan((80, 40, 60)))
    assert [one.mip.degrees for one in found] == list(ANGLES)
    assert all(one.probability.shape == one.mip.mip.shape for one in found)


def test_each_second_mip_is_mirrored_for_the_network(monkeypatch):
    monkeypatch.setattr(maps, "find", lambda network, image, columns: np.full(image.pixels.shape, sum(columns)))
    found = lesion_maps(random_scan((80, 40, 60)))
    assert [one.probability[one.mip.mip > 0.3].mean() for one in found] == [1, -1] * 4


@pytest.mark.parametrize("shape", [(80, 40, 40), (60, 80, 60)])
def test_a_part_of_a_body_has_no_map(shape):
    assert lesion_maps(random_scan(shape)) == ()


def test_a_map_is_looked_up_where_its_mip_shows_the_voxels():
    volume = empty((40, 30, 20), (4.0, 4.0, 4.0))
    near, behind = (ellipsoid(volume, volume.to_world(np.array(at)), (9, 9, 9)) for at in ((12, 6, 9), (12, 22, 9)))
    array = np.where(near, 5.0, np.where(behind, 9.0, 1.0)).astype(np.float32)
    front, side = rotated_mips(volume.with_array(array), [0.0, 90.0])
    sure = [LesionMap(mip, np.where(mip.mip > 2, 0.9, 0.1).astype(np.float32)) for mip in (front, side)]
    assert np.isnan(sure[0].at(np.argwhere(near), array[near], 0.98))  # the hotter one hides it
    assert sure[1].at(np.argwhere(near), array[near], 0.98) == pytest.approx(0.9)
    voxels, probability = sure[0].back_projected(0.5)
    assert behind[tuple(voxels.T)].all() and (probability == np.float32(0.9)).all()
