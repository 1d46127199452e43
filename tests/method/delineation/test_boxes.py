from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.blobs import dice, ellipsoid, empty, scan
from wslpet.core.volume import Volume
from wslpet.method.delineation.boxes import FINE_MM, FINE_SHARE, Box, averaged
from wslpet.method.delineation.contours import delineated

INDEX = np.array([41.3, 22.8, 50.6])


@pytest.fixture(scope="module")
def fine() -> Volume:
    """SUV that rises along each axis by the position in mm, on voxels of 1 × 1.5 × 0.8 mm."""
    affine = np.diag([1.0, 1.5, 0.8, 1.0])
    affine[:3, 3] = (-20.0, 7.0, 300.0)
    x, y, z = np.indices((80, 61, 97))
    return Volume((x * 1.0 + 100 * y * 1.5 + 10_000 * z * 0.8).astype(np.float32), affine)


@pytest.mark.parametrize("reach_mm", [32.0, 50.0, 128.0])
def test_a_thinned_box_has_the_image_at_the_same_place_in_the_world(fine, reach_mm):
    box = Box.around(fine, INDEX, reach_mm)
    assert (box.spacing <= max(FINE_MM, FINE_SHARE * reach_mm)).all() and max(box.steps) > 1
    inner = tuple(n // s for n, s in zip(box.shape, box.steps, strict=True))
    for voxel in (np.zeros(3, int), np.array(inner) - 1, np.array(inner) // 2):
        mm = (np.array(box.start) + voxel * box.steps + (np.array(box.steps) - 1) / 2) * fine.spacing
        assert box.image[tuple(voxel)] == pytest.approx(mm @ [1, 100, 10_000], rel=1e-5)
    assert (box.point * box.steps + (np.array(box.steps) - 1) / 2 + box.start) == pytest.approx(INDEX)


def test_a_box_that_is_not_thinned_is_the_scan(fine):
    box = Box.around(fine, INDEX, 20.0, thinned=False)
    assert box.steps == (1, 1, 1)
    assert np.array_equal(box.image, fine.array[box.window])


def test_blocks_at_the_end_are_filled_up_with_the_last_voxels():
    image = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((1, 2, 3), dtype=np.float32)
    assert averaged(image, (2, 1, 3)).tolist() == [[[0.5]] * 2, [[2.5]] * 2, [[4.0]] * 2]


@pytest.mark.parametrize("centre", [(40.0, 46.0, 44.4), (5.0, 40.0, 75.0)], ids=["inside", "at the edge"])
def test_a_mask_of_averaged_voxels_has_its_surface_where_the_image_crosses_the_threshold(centre):
    spacing = np.array([1.0, 1.2, 0.9])
    away = np.linalg.norm((np.indices((80, 70, 90)).transpose(1, 2, 3, 0) * spacing) - centre, axis=-1)
    volume = Volume((30 - away).astype(np.float32), np.diag([*spacing, 1.0]))
    box = Box.around(volume, np.array(centre) / spacing, 40.0)
    coarse = box.image > 15
    low, high = np.argwhere(coarse).min(axis=0), np.argwhere(coarse).max(axis=0) + 1
    inside = coarse[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    found, start = box.in_scan(inside, tuple(low.tolist()), box.image, 15.0)
    mask = np.zeros(volume.shape, dtype=bool)
    mask[tuple(slice(s, s + n) for s, n in zip(start, found.shape, strict=True))] = found
    assert dice(mask, away < 15) > 0.98
    assert mask.sum() == pytest.approx((away < 15).sum(), rel=0.03)


def test_one_voxel_of_a_box_is_not_lost():
    volume = Volume(np.zeros((40, 40, 40), dtype=np.float32), np.diag([1.0, 1.0, 1.0, 1.0]))
    box = Box.around(volume, np.array([20.0, 20.0, 20.0]), 15.0)
    image = np.full(box.image.shape, -9.0, dtype=np.float32)
    image[7, 7, 7] = 0.1
    found, start = box.in_scan(np.ones((1, 1, 1), dtype=bool), (7, 7, 7), image, 0.0)
    assert found.sum() == 8 and start == tuple(s + 14 for s in box.start)


def test_a_lesion_on_fine_voxels_is_outlined_as_on_coarse_ones():
    ratios = []
    for spacing in (1.0, 3.0):
        background = empty((int(96 / spacing),) * 3, spacing=(spacing,) * 3)
        centre = background.to_world(np.array([45.0, 51.0, 40.0]) / spacing)
        volume = scan(background, [(centre, (11, 9, 13), 8.0)], noise=0.0)
        mask = delineated(volume, volume.to_index(centre), 5.0)[0].in_volume(volume.shape)
        assert dice(mask, ellipsoid(volume, centre, (11, 9, 13))) > 0.85
        ratios.append(mask.sum() * volume.voxel_ml)
    assert ratios[0] == pytest.approx(ratios[1], rel=0.2)
