import numpy as np
import pytest

from wslpet.analysis.overlap import Agreement, agreement, click_threshold, hd95, summary
from wslpet.core.volume import Volume


def test_agreement_of_half_an_overlap():
    mask, truth = np.zeros((4, 4, 4)), np.zeros((4, 4, 4))
    mask[0, 0, :4], truth[0, 0, 2:4], truth[0, 1, 2:4] = 1, 1, 1
    found = agreement(mask, truth, voxel_ml=0.5, type_right=True)
    assert found == Agreement(0.5, True, True, 1.0, 1.0, True)


def test_an_empty_mask_agrees_with_an_empty_truth():
    empty = np.zeros((3, 3, 3))
    assert agreement(empty, empty, 1.0).dice == 1.0
    assert agreement(empty, empty + 1, 1.0) == Agreement(0.0, False, False, 0.0, 27.0)


def test_summary_brackets_the_mean_and_leaves_out_what_was_not_predicted():
    rows = [Agreement(d, d > 0, d > 0.5, 0.0, 0.0) for d in (0.0, 0.8, 0.9, 1.0)]
    found = summary(rows)
    mean, low, high = found["dice"]
    assert mean == pytest.approx(0.675)
    assert low < mean < high
    assert "type_right" not in found
    assert found["detected"] == pytest.approx((0.75, 0.301, 0.954), abs=1e-3)  # Wilson's interval of 3 of 4


def test_a_share_of_all_patients_has_an_interval():
    mean, low, high = summary([Agreement(1.0, True, True, 0.0, 0.0, True)] * 40)["type_right"]
    assert (mean, high) == (1.0, 1.0) and low == pytest.approx(0.912, abs=1e-3)


@pytest.mark.parametrize("flip", [False, True])
def test_the_baseline_climbs_to_the_near_maximum_and_stays_connected(flip):
    affine = np.array([[-4.0, 0, 0, 90], [0, 3.0, 0, -70], [0, 0, 5.0, 40], [0, 0, 0, 1]])
    volume = Volume(np.ones((40, 40, 40), dtype=np.float32), affine)
    x, y, z = np.indices(volume.shape)
    near = np.linalg.norm([(x - 12) * 4, (y - 25) * 3, (z - 20) * 5], axis=0) < 15
    far = np.linalg.norm([(x - 30) * 4, (y - 25) * 3, (z - 20) * 5], axis=0) < 15
    volume.array[near], volume.array[far] = 8.0, 12.0
    stored = volume.to_ras() if flip else volume
    mask = click_threshold(stored, volume.to_world(np.array([13, 24, 21])))
    truth = Volume(near.astype(np.uint8), affine)
    assert np.array_equal(mask, (truth.to_ras() if flip else truth).array > 0)
    by_suv = click_threshold(stored, volume.to_world(np.array([13, 24, 21])), suv=4.0)
    assert np.array_equal(by_suv, mask)
    assert not click_threshold(stored, volume.to_world(np.array([13, 24, 21])), suv=9.0).any()


def test_strict_detection_needs_the_centroid_inside_and_a_tenth_of_the_union():
    truth = np.zeros((20, 20, 20))
    truth[8:12, 8:12, 8:12] = 1
    grazing = np.roll(truth, 3, axis=0)  # a quarter overlaps, the centroid is outside
    flooded = np.ones_like(truth)  # the centroid is inside, 64 of 8000 voxels overlap
    for mask in (grazing, flooded):
        found = agreement(mask, truth, 1.0)
        assert found.detected and not found.detected_strictly
    assert agreement(np.roll(truth, 1, axis=0), truth, 1.0).detected_strictly
    assert not agreement(truth * 0, truth, 1.0).detected_strictly


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_surface_distance_is_in_millimetres_and_sees_both_sides(axis):
    spacing = (2.0, 3.0, 5.0)
    truth, mask = np.zeros((30, 30, 30)), np.zeros((30, 30, 30))
    truth[8:14, 9:15, 10:16] = 1
    mask[8:14, 9:15, 10:16] = 1
    assert hd95(mask, truth, spacing) == 0.0
    shifted = np.roll(truth, 3, axis)
    assert hd95(shifted, truth, spacing) == pytest.approx(3 * spacing[axis])
    mask[25, 25, 25] = 1  # one stray voxel of 200 is beyond the 95th percentile
    assert hd95(mask, truth, spacing) == hd95(truth, mask, spacing) < 5
    assert hd95(mask * 0, truth, spacing) == np.inf and hd95(mask * 0, truth * 0, spacing) == 0.0
    edge = np.zeros((6, 6, 6))
    edge[:2] = 1
    assert hd95(edge, edge, spacing) == 0.0
