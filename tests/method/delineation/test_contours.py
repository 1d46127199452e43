from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from tests.helpers.blobs import dice, ellipsoid, empty, scan
from wslpet.data.phantom import PRESETS, make_patient
from wslpet.method.delineation.contours import MAX_ML, REACHES_MM, contours, delineated, within
from wslpet.method.delineation.features import FEATURES

RADII = (16, 16, 20)


@pytest.fixture(scope="module")
def case():
    volume = empty((60, 40, 60))
    centre = volume.to_world(np.array([38, 15, 33]))
    return scan(volume, [(centre, RADII, 9.0)]), np.array([38.0, 15.0, 33.0]), centre


def test_every_candidate_is_a_connected_lesion_with_its_features(case):
    volume, index, _ = case
    found = contours(volume, index, 5.0)
    assert found
    for contour in found:
        assert contour.inside.any() and label(contour.inside)[1] == 1
        assert contour.features.shape == (len(FEATURES),)
        assert np.isfinite(contour.features).all()
        assert contour.inside.sum() * volume.voxel_ml <= MAX_ML * 1.001


def test_a_candidate_keeps_its_place_in_the_volume(case):
    volume, index, centre = case
    contour = delineated(volume, index, 5.0)[0]
    mask = contour.in_volume(volume.shape)
    assert mask.sum() == contour.inside.sum()
    assert np.linalg.norm(volume.to_world(np.argwhere(mask)).mean(axis=0) - centre) < 4.0
    assert dice(mask, ellipsoid(volume, centre, RADII)) > 0.85


@pytest.mark.parametrize("decoy", [(52, 15, 44), (52, 15, 22), (24, 15, 22), (24, 15, 44)])
def test_a_hotter_lesion_in_the_same_box_is_not_taken(case, decoy):
    volume, index, centre = case
    two = scan(volume, [(centre, RADII, 6.0), (volume.to_world(np.array(decoy)), (14, 14, 14), 12.0)])
    mask = delineated(two, index, 5.0)[0].in_volume(two.shape)
    assert dice(mask, ellipsoid(volume, centre, RADII)) > 0.8


def test_only_the_box_around_the_point_is_searched(case):
    volume, index, _ = case
    reach = REACHES_MM[0] / 4 + 1
    for contour in contours(volume, index, 5.0):
        where = np.argwhere(contour.in_volume(volume.shape))
        assert (np.abs(where - index) <= reach).all()


@pytest.mark.parametrize("radius_mm", [50.0, 80.0])
def test_a_lesion_that_a_box_cuts_off_is_looked_at_in_a_larger_one(radius_mm):
    background = empty((70, 66, 72))
    centre = background.to_world(np.array([36.0, 31.0, 38.0]))
    radii = (radius_mm, radius_mm, radius_mm)
    volume = scan(background, [(centre, radii, 9.0)])
    truth = ellipsoid(volume, centre, radii)
    index = volume.to_index(centre) + np.array([0.6, -0.8, 0.4])
    assert dice(delineated(volume, index, 5.0)[0].in_volume(volume.shape), truth) > 0.9
    cut_off = delineated(volume, index, 5.0, REACHES_MM[:1])[0]
    assert dice(cut_off.in_volume(volume.shape), truth) < 0.8


def test_a_leak_in_a_small_box_is_not_taken_once_a_larger_box_shows_the_lesion():
    """A tumour of 7.6 ml, clicked beside it: the box of 50 mm has a contour of 83 ml, that of 128 mm the lesion."""
    patient = make_patient(7_200_010, PRESETS["hard"])
    volume, truth = patient.volume.to_ras(), patient.truth.to_ras().array > 0
    click = np.rint(volume.to_index(np.array(patient.seed.position)))
    mask = delineated(volume, click, 5.0)[0].in_volume(volume.shape)
    assert dice(mask, truth) > 0.7
    assert (mask & ~truth).sum() * volume.voxel_ml < 5.0


def test_candidates_do_not_depend_on_what_is_far_away(case):
    volume, index, _ = case
    far = volume.array.copy()
    far[:15] = 30.0
    here, there = (contours(v, index, 5.0) for v in (volume, volume.with_array(far)))
    assert [c.inside.sum() for c in here] == [c.inside.sum() for c in there]


def test_the_scan_is_not_modified(case):
    volume, index, _ = case
    before = volume.array.copy()
    contours(volume, index, 5.0)
    assert np.array_equal(volume.array, before)


@pytest.mark.parametrize("corner", [(0, 0, 0), (59, 39, 59), (-0.4, 39.4, 10)])
def test_a_point_at_the_edge_is_a_point(case, corner):
    assert isinstance(contours(case[0], np.array(corner), 5.0), list)


def test_a_small_lesion_on_the_slope_of_a_hotter_one_is_a_candidate():
    background = empty((50, 50, 50), spacing=(3.0, 3.0, 3.0))
    node, hot = (background.to_world(np.array([25, 25, z])) for z in (25, 31))
    volume = scan(background, [(hot, (11, 11, 11), 25.0), (node, (6, 6, 6), 8.0)], fwhm_mm=7.0, noise=0.0)
    column = volume.array[25, 25, 19:32]
    assert (np.diff(column) > 0).all()  # no maximum of its own
    found = contours(volume, volume.to_index(node), 5.0)
    truth = ellipsoid(volume, node, (7, 7, 7))
    assert max(dice(contour.in_volume(volume.shape), truth) for contour in found) > 0.55


def test_a_cavity_counts():
    background = empty((60, 60, 60))
    centre = background.to_world(np.array([30, 30, 30]))
    volume = scan(background, [(centre, (44, 44, 44), 9.0), (centre + np.array([8, 0, 0]), (30, 30, 30), 0.8)])
    mask = delineated(volume, volume.to_index(centre), 5.0)[0].in_volume(volume.shape)
    assert dice(mask, ellipsoid(volume, centre, (45, 45, 45))) > 0.9


def test_no_contour_of_a_click_is_its_neighbour_alone():
    """Of two nodes that touch, the hotter one alone may be a contour of a vague point, but of no click on the other."""
    background = empty((50, 50, 50), spacing=(3.0, 3.0, 3.0))
    node, hot = (background.to_world(np.array([25, 25, z])) for z in (20, 27))
    volume = scan(background, [(hot, (10, 10, 10), 20.0), (node, (8, 8, 8), 7.0)])
    inside, neighbour = ellipsoid(volume, node, (6, 6, 6)), ellipsoid(volume, hot, (9, 9, 9))
    for contour in contours(volume, volume.to_index(node), 5.0):
        mask = contour.in_volume(volume.shape)
        assert (mask & inside).sum() / inside.sum() >= 0.9 * (mask & neighbour).sum() / neighbour.sum() or mask[
            tuple(np.rint(volume.to_index(node)).astype(int))
        ]


def test_dice_of_all_candidates_at_once_is_that_of_each(case):
    volume, index, centre = case
    truth = ellipsoid(volume, centre, RADII)
    found = within(volume, index, 5.0, REACHES_MM[0])
    contours_of = [found.contour(n) for n in range(len(found.features))]
    each = np.array([dice(one.in_volume(volume.shape), truth) for one in contours_of])
    counted = np.exp(found.features[:, FEATURES.index("log_ml")]) / volume.voxel_ml
    unfilled = np.isclose(counted, [one.inside.sum() for one in contours_of])  # holes are filled in the contours only
    assert unfilled.mean() > 0.9
    assert found.dice(truth)[unfilled] == pytest.approx(each[unfilled])
