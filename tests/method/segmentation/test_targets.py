"""Contours that clicks teach, with and without the guard, and what remains unknown."""

import numpy as np
import pytest

from tests.helpers.mip_people import ROWS, disc
from wslpet.method.normal.frame import FRAME_SHAPE
from wslpet.method.segmentation.targets import ClickContour, click_contour, unknown

USUAL = np.full((ROWS, FRAME_SHAPE[1]), 1.2, dtype=np.float32)


@pytest.fixture
def image():
    image = np.full((ROWS, FRAME_SHAPE[1]), 0.8, dtype=np.float32)
    image[disc((100, 120), 8)] = 6.0
    return image


def test_the_contour_is_the_lesion_at_the_click(image):
    image[disc((100, 160), 8)] = 6.0
    found = click_contour(image, USUAL, np.array([103.0, 122.0]), ClickContour())
    assert (found == disc((100, 120), 8)).all()


def test_a_contour_does_not_enter_normal_uptake(image):
    image[disc((100, 140), 14)] = np.maximum(image, 4.0)[disc((100, 140), 14)]  # a normal organ that touches it
    usual = np.where(disc((100, 140), 14), 5.5, USUAL)
    guarded = click_contour(image, usual, np.array([100.0, 118.0]), ClickContour())
    leaked = click_contour(image, usual, np.array([100.0, 118.0]), ClickContour(guard=None))
    assert guarded.sum() < 1.2 * disc((100, 120), 8).sum()
    assert leaked.sum() > 3 * guarded.sum()


def test_other_uptake_above_the_atlas_is_unknown(image):
    image[disc((200, 120), 8)] = 4.0
    lesion = click_contour(image, USUAL, np.array([100.0, 120.0]), ClickContour())
    assert (unknown(image, USUAL, USUAL, [lesion]) == disc((200, 120), 8)).all()


def test_a_click_outside_the_scan_teaches_nothing():
    image = np.full((ROWS, FRAME_SHAPE[1]), np.nan, dtype=np.float32)
    assert click_contour(image, USUAL, np.array([100.0, 100.0]), ClickContour()).sum() <= 13


def test_what_the_guard_cut_off_is_unknown_rather_than_background(image):
    usual = np.where(disc((100, 126), 6), 8.5, USUAL)  # normal uptake is high over one side of the lesion
    contour = click_contour(image, usual, np.array([100.0, 116.0]), ClickContour())
    cut_off = disc((100, 120), 8) & ~contour
    assert cut_off.sum() > 20
    assert unknown(image, usual, usual, [contour])[cut_off].all()
    assert not unknown(image, usual, usual, [contour])[150].any()
