"""Judging a prediction by the expert's mask: places, overlap, the strict criterion, specks."""

import numpy as np
import pytest

from tests.helpers.mip_people import disc
from wslpet.data.mip_cohort import MipPerson
from wslpet.method.normal.reference import MipImage
from wslpet.study.mips.judging import Outcome, Prediction, judge

ROWS, COLUMNS = 120, 256
SPACING = (2.0, 2.0)
SMALL, LARGE = disc((30, 60), 3, ROWS), disc((80, 150), 10, ROWS)


def person(mask=None, cancer_type="lung"):
    pixels = np.ones((ROWS, COLUMNS), dtype=np.float32)
    truth = SMALL | LARGE if mask is None else mask
    return MipPerson("a", "a", cancer_type, MipImage(pixels, SPACING), (80, 150), truth)


def predicted(mask, strongest=(80, 150), **options):
    strength = np.zeros((ROWS, COLUMNS))
    strength[strongest] = 1.0
    return Prediction(strength, mask, 0.5, options.pop("cancer_type", None), **options)


def test_a_perfect_mask():
    one = judge(person(), predicted(SMALL | LARGE, cancer_type="lung"))
    assert (one.dice, one.iou, one.false_parts, one.lesions) == (1.0, 1.0, 0, 2)
    assert one.strongest_place and one.detected and one.detected_strictly and one.type_right
    assert one.overlapped == [1.0, 1.0]
    assert one.areas == pytest.approx([SMALL.sum() * 0.04, LARGE.sum() * 0.04])


def test_detected_by_one_pixel_is_not_detected_strictly():
    beside = disc((80, 168), 9, ROWS)
    assert 0 < (beside & LARGE).sum() < 20
    one = judge(person(), predicted(beside, (80, 168)))
    assert one.detected and not one.detected_strictly
    assert one.strongest_place is False  # 36 mm from the centre, 16 mm from the edge


def test_strictly_needs_the_overlap_of_the_masks_too():
    centred = disc((80, 150), 2, ROWS)
    one = judge(person(), predicted(centred))
    assert one.iou < 0.1 and one.strongest_place and not one.detected_strictly


def test_the_component_nearest_to_the_strongest_place_is_asked_for_its_centroid():
    wrong = disc((80, 220), 8, ROWS)
    right = judge(person(), predicted(LARGE | wrong, (80, 165)))
    assert right.detected_strictly and right.false_parts == 1
    assert not judge(person(), predicted(LARGE | wrong, (80, 219))).detected_strictly


def test_specks_are_left_out_of_the_mask_and_no_lesions_of_the_truth():
    speck = np.zeros((ROWS, COLUMNS), dtype=bool)
    speck[110, 10:13] = True  # 12 mm²
    one = judge(person(), predicted(LARGE | speck), smallest_mm2=28.0)
    assert one.false_parts == 0 and one.lesions == 2
    assert judge(person(), predicted(LARGE | speck)).false_parts == 1


def test_of_a_lesion_free_person_only_false_parts_are_counted():
    nothing = np.zeros((ROWS, COLUMNS), dtype=bool)
    one = judge(person(nothing, None), predicted(LARGE))
    assert (one.ill, one.lesions, one.dice, one.strongest_place, one.detected) == (False, 0, None, None, None)
    assert one.false_parts == 1


def test_an_empty_mask_and_an_empty_map_find_nothing():
    nothing = np.zeros((ROWS, COLUMNS), dtype=bool)
    one = judge(person(), Prediction(np.zeros((ROWS, COLUMNS)), nothing, 0.0, None))
    assert (one.dice, one.detected, one.detected_strictly, one.strongest_place) == (0.0, False, False, False)


def test_outcomes_go_through_json():
    one = judge(person(), predicted(LARGE))
    assert Outcome(**one.to_json()).dice == one.dice
