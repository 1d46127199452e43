from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.helpers.blobs import ellipsoid, empty, scan
from wslpet.method.delineation.contours import delineated
from wslpet.method.delineation.nested import STEP, nested_contours


@pytest.fixture(scope="module")
def case():
    volume = empty((50, 44, 60), (4.0, 3.5, 3.0), origin=(-70.0, 30.0, 12.0))
    places = [volume.to_world(np.array(place)) for place in ((22, 20, 24), (29, 20, 24))]
    blobs = [(places[0], (11, 11, 13), 8.0), (places[1], (12, 12, 12), 11.0)]
    return scan(volume, blobs), volume.to_index(places[0]), [ellipsoid(volume, p, r) for p, r, _ in blobs]


def test_each_contour_lies_in_the_next_and_is_clearly_smaller(case):
    volume, index, _ = case
    found, own = nested_contours(volume, index, 5.0)
    masks = [contour.in_volume(volume.shape) for contour in found]
    assert 2 <= own < len(found) - 1
    for small, large in pairwise(masks):
        assert not (small & ~large).any()
        assert large.sum() >= STEP * small.sum()
    assert all(mask[tuple(np.rint(index).astype(int))] for mask in masks)
    chosen = delineated(volume, index, 5.0)[0]
    assert np.array_equal(masks[own], chosen.in_volume(volume.shape))


def test_larger_takes_the_neighbour_in_at_last(case):
    volume, index, (node, neighbour) = case
    found, own = nested_contours(volume, index, 5.0)
    shares = [contour.in_volume(volume.shape)[neighbour].mean() for contour in found]
    assert shares[own] < 0.1
    assert shares[-1] > 0.9
    assert found[0].inside.sum() < 0.5 * node.sum()


def test_steps_start_from_a_given_contour(case):
    volume, index, _ = case
    found, own = nested_contours(volume, index, 5.0)
    again, place = nested_contours(volume, index, 5.0, around=found[own + 1])
    assert again[place] is found[own + 1]
    assert place > 0
    assert np.array_equal(again[place + 1].in_volume(volume.shape), found[own + 2].in_volume(volume.shape))


def test_there_are_none_where_there_is_no_contour():
    volume = empty((20, 20, 20))
    assert nested_contours(volume, np.array([10.0, 10.0, 10.0]), 5.0) == ([], 0)
