from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.path import Path

from wslpet.io.dicom.derived.outlines import outlines


def area(polygon: np.ndarray) -> float:
    i, j = polygon.T
    return float(i @ np.roll(j, -1) - j @ np.roll(i, -1)) / 2


def filled(polygons, shape) -> np.ndarray:
    """By the centres of the pixels, with another library."""
    centres = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 2)
    inside = np.zeros(shape, bool)
    for polygon in polygons:
        inside ^= Path(polygon).contains_points(centres).reshape(shape)
    return inside


def test_a_pixel_is_a_square():
    inside = np.zeros((5, 6), bool)
    inside[2, 3] = True
    (square,) = outlines(inside)
    assert sorted(map(tuple, square)) == [(1.5, 2.5), (1.5, 3.5), (2.5, 2.5), (2.5, 3.5)]
    assert area(square) == 1.0


def test_a_rectangle_has_four_corners():
    (rectangle,) = outlines(np.ones((7, 3), bool))
    assert len(rectangle) == 4
    assert area(rectangle) == 21.0


def test_pixels_that_touch_at_a_corner_are_two():
    polygons = outlines(np.eye(2, dtype=bool))
    assert [area(polygon) for polygon in polygons] == [1.0, 1.0]


@pytest.mark.parametrize("hole", [(slice(2, 5), slice(3, 4)), (slice(4, 5), slice(1, 6))])
def test_a_hole_is_cut_open(hole):
    inside = np.ones((7, 8), bool)
    inside[hole] = False
    (polygon,) = outlines(inside)
    assert area(polygon) == inside.sum()
    np.testing.assert_array_equal(filled([polygon], inside.shape), inside)


def test_holes_in_a_row_and_an_island_in_one():
    inside = np.ones((13, 7), bool)
    inside[1:5, 2:5] = False
    inside[6:11, 1:6] = False
    inside[8, 3] = True
    polygons = outlines(inside)
    assert sorted(area(polygon) for polygon in polygons) == [1.0, inside.sum() - 1.0]
    np.testing.assert_array_equal(filled(polygons, inside.shape), inside)


@settings(max_examples=300, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_outlines_of_any_mask_give_the_mask_back(inside):
    polygons = outlines(inside)
    np.testing.assert_array_equal(filled(polygons, inside.shape), inside)
    assert sum(map(area, polygons)) == inside.sum()
