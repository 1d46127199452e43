"""A viewer's request → the click in it."""

import math

import numpy as np
import pytest

from wslpet.core.errors import SeedError
from wslpet.core.seeds import NO_TUMOUR, Annotation, ContourChoice, Seed, annotation_of
from wslpet.core.volume import Volume
from wslpet.server.storage.annotations.clicks import MAX_POINTS, Clicks, clicks_in, place

TYPES = ("lung", "oesophagus")


def test_a_viewer_request_is_one_click():
    request = {"lung": [], "oesophagus": [[1, 2, 3]], "background": [], "label": "oesophagus", "device": ["cpu"]}
    assert clicks_in(request, TYPES) == Clicks("oesophagus", ([1, 2, 3],), (), (ContourChoice(),))


def test_each_point_is_a_lesion_and_the_first_is_the_primary():
    request = {"lung": [[4, 5, 6], [1, 1, 1]], "oesophagus": [], "background": [[7, 8, 9]]}
    clicks = clicks_in(request, TYPES)
    assert (clicks.lesions, clicks.background) == (([4, 5, 6], [1, 1, 1]), ([7, 8, 9],))


def test_a_client_of_one_label_names_the_type_as_its_label():
    request = {"label": "lung", "foreground": [[4, 5, 6]], "background": [[1, 1, 1]]}
    clicks = clicks_in(request, TYPES)
    assert (clicks.cancer_type, clicks.lesions, clicks.background) == ("lung", ([4, 5, 6],), ([1, 1, 1],))


@pytest.mark.parametrize(
    ("contour", "choices"),
    [
        (None, [ContourChoice(), ContourChoice()]),
        ("41%", [ContourChoice("41 %")] * 2),
        ({"method": "SUV 2.5", "step": -1}, [ContourChoice("SUV 2.5", -1)] * 2),
        (["ours", {"step": 2}], [ContourChoice(), ContourChoice(step=2)]),
    ],
)
def test_contours_are_chosen_for_all_points_or_for_each(contour, choices):
    request = {"lung": [[4, 5, 6], [1, 1, 1]], "contour": contour}
    assert list(clicks_in(request, TYPES).contours) == choices


def test_no_tumour_is_one_place():
    assert clicks_in({NO_TUMOUR: [[1, 1, 1], [2, 2, 2]]}, (*TYPES, NO_TUMOUR)) == Clicks(NO_TUMOUR, ([2, 2, 2],))


def seeds(*clicks) -> list[Annotation]:
    return [annotation_of(Seed(name, (0, 0, 0), index)) for name, index in clicks]


def test_a_corrected_type_wins_over_the_points_on_record():
    request = {"lung": [[1, 1, 1], [4, 5, 6]], "oesophagus": [[4, 5, 7]]}
    assert clicks_in(request, TYPES, lambda: seeds(("lung", (1, 1, 1)), ("lung", (4, 5, 6)))) == Clicks(
        "oesophagus", ([4, 5, 7],), (), (ContourChoice(),)
    )
    back = {"lung": [[1, 1, 1], [4, 5, 6], [4, 5, 8]], "oesophagus": [[4, 5, 7]]}
    both = seeds(("lung", (1, 1, 1)), ("lung", (4, 5, 6)), ("oesophagus", (4, 5, 7)))
    again = clicks_in(back, TYPES, lambda: both)
    assert (again.cancer_type, again.lesions) == ("lung", ([1, 1, 1], [4, 5, 6], [4, 5, 8]))


@pytest.mark.parametrize("order", [1, -1])
def test_of_points_that_are_all_on_record_the_latest_wins(order):
    request = {"lung": [[1, 1, 1]], "oesophagus": [[2, 2, 2]]}
    recorded = seeds(("lung", (1, 1, 1)), ("oesophagus", (2, 2, 2)))[::order]
    latest = recorded[-1]
    clicks = clicks_in(request, TYPES, lambda: recorded)
    assert (clicks.cancer_type, clicks.lesions) == (latest.cancer_type, (list(latest.index),))


def test_new_points_of_two_types_are_refused_beside_an_older_seed():
    recorded = seeds(("lung", (1, 1, 1)))
    with pytest.raises(SeedError, match="2 types"):
        clicks_in({"lung": [[1, 1, 2]], "oesophagus": [[1, 1, 1]]}, TYPES, lambda: recorded)


def test_no_points_is_no_click():
    assert clicks_in({"lung": [], "oesophagus": []}, TYPES) is None


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"lung": [[1, 2, 3]], "oesophagus": [[1, 2, 3]]}, "2 types"),
        ({"stomach": [[1, 2, 3]]}, "unknown cancer type 'stomach'"),
        ({"background": [[1, 2, 3]]}, "background points .*, but no lesion"),
        ({"lung": [[1, 2, 3]], "background": [[1, 2]]}, "not three voxel indices"),
        ({"lung": [[1, 2, 3]], "contour": "39%"}, "contour '39%' is not one of"),
        ({"lung": [[1, 2, 3]], "contour": ["ours", "ours"]}, "2 contours for 1 points"),
        ({"lung": [[1, 2, 3]], "contour": 7}, "contour 7 is not"),
        ({"lung": [[1, 2, 3]], "contour": {"steps": 7}}, "contour .* is not"),
        ({"foreground": [[1, 2, 3]], "label": "liver"}, "foreground points"),
        ({"foreground": [[1, 2, 3]]}, "foreground points"),
        ({"lung": [[1, 2]]}, "not three voxel indices"),
        ({"lung": [[1, 2, 3, 4]]}, "not three voxel indices"),
        ({"lung": [1, 2, 3]}, "list of voxel indices"),
        ({"lung": "1,2,3"}, "list of voxel indices"),
        ({"lung": {"i": 1}}, "list of voxel indices"),
        ({"lung": [["1", "2", "3"]]}, "not three voxel indices"),
        ({"lung": [[True, 2, 3]]}, "not three voxel indices"),
        ({"lung": [[None, 2, 3]]}, "not three voxel indices"),
        ({"lung": [[math.nan, 2, 3]]}, "not three voxel indices"),
        ({"lung": [[math.inf, 2, 3]]}, "not three voxel indices"),
        ({"lung": [[10**400, 2, 3]]}, "not three voxel indices"),
        ({"lung": [[1, 2, 3]] * (MAX_POINTS + 1)}, "at most"),
    ],
)
def test_an_invalid_click_is_refused(request_, said):
    with pytest.raises(SeedError, match=said):
        clicks_in(request_, TYPES)


def test_a_click_is_placed_in_millimetres():
    affine = np.array([[0, 0, -4, 100], [2, 0, 0, -50], [0, 3, 0, 7], [0, 0, 0, 1]], float)
    seed = place("lung", [5, 6, 7], Volume(np.ones((10, 11, 12), np.float32), affine), "ann")
    assert seed.position == (100 - 28, -50 + 10, 7 + 18)
    assert seed.index == (5, 6, 7)
    assert (seed.cancer_type, seed.user) == ("lung", "ann")


@pytest.mark.parametrize("index", [[-1, 5, 5], [10, 5, 5], [5, 5, 99]])
def test_a_click_outside_is_refused(index):
    volume = Volume(np.ones((10, 11, 12), np.float32), np.diag([2, 2, 2, 1.0]), name="case7.nii.gz")
    with pytest.raises(SeedError, match=r"outside case7\.nii\.gz"):
        place("lung", index, volume, "ann")
