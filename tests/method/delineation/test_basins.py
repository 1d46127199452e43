from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.blobs import empty, positions
from wslpet.method.delineation.basins import Basins

SPACINGS = [(4.0, 4.0, 4.0), (2.0, 4.0, 3.0), (4.06, 4.06, 2.0)]


@pytest.fixture(params=SPACINGS, ids=str)
def hills(request):
    """Two hills 60 mm apart along x, of SUV 10 and 6, and a third one far off; the box, and (hill, 3) voxels."""
    spacing = np.array(request.param)
    volume = empty(tuple(np.rint(np.array([160, 120, 120]) / spacing).astype(int)), request.param)
    tops = np.array([[40.0, 60.0, 60.0], [100.0, 60.0, 60.0], [140.0, 100.0, 20.0]])
    where = positions(volume)
    box = sum(
        h * np.exp(-((where - top) ** 2).sum(axis=-1) / (2 * s**2))
        for h, top, s in zip((10, 6, 8), tops, (18, 18, 6), strict=True)
    )
    return box.astype(np.float32), spacing, volume.to_index(tops)


def test_every_hill_is_one_basin_and_every_voxel_is_on_the_hill_above_it(hills):
    box, spacing, tops = hills
    basins = Basins.of(box, spacing, tops[0])
    numbers = [basins.labels[tuple(np.rint(top).astype(int))] for top in tops]
    assert len(set(numbers)) == 3 and 0 not in numbers
    assert set(np.unique(basins.labels)) - {0} == set(numbers)
    away = np.linalg.norm((np.argwhere(basins.labels == numbers[2]) - tops[2]) * spacing, axis=1)
    assert away.max() < 40


def test_the_pass_between_two_hills_is_the_lowest_point_of_the_ridge(hills):
    box, spacing, tops = hills
    basins = Basins.of(box, spacing, tops[0])
    one, two = (basins.labels[tuple(np.rint(top).astype(int))] for top in tops[:2])
    ridge = box[:, round(tops[0][1]), round(tops[0][2])]
    valley = ridge[round(tops[0][0]) : round(tops[1][0])].min()
    assert basins.saddles[one][two] == basins.saddles[two][one]
    assert basins.saddles[one][two] == pytest.approx(valley, rel=0.1)


def test_what_lies_nearest_the_point_is_started_from_first_and_alone(hills):
    box, spacing, tops = hills
    basins = Basins.of(box, spacing, tops[1])
    first = next(basins.unions())
    assert first.basins == {basins.labels[tuple(np.rint(tops[1]).astype(int))]}
    assert first.rank == 0 and first.lowest_saddle_crossed == 1.0
    assert 0 < first.highest_saddle_left < 1


def test_a_maximum_that_only_noise_separates_is_part_of_its_neighbour(hills):
    box, spacing, tops = hills
    noisy = box * (1 + 0.02 * np.random.default_rng(0).normal(size=box.shape)).astype(np.float32)
    basins = Basins.of(noisy, spacing, tops[0])
    i, j, k = np.rint(tops[0]).astype(int)
    assert len(np.unique(basins.labels[i - 2 : i + 3, j - 2 : j + 3, k - 2 : k + 3])) == 1


def test_the_gradient_is_that_of_numpy(hills):
    box, spacing, tops = hills
    basins = Basins.of(box, spacing, tops[0])
    along = np.gradient(basins.image.astype(np.float64), *spacing)
    np.testing.assert_allclose(basins.gradient, np.linalg.norm(along, axis=0), atol=1e-5)
