from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_fill_holes, find_objects, label

from wslpet.method.delineation.components import dilated, largest_part, surface


def scattered(seed: int, shape=(11, 9, 13), share=0.4) -> np.ndarray:
    """(x, y, z) bool of many parts and holes, some of which reach the ends."""
    return np.random.default_rng(seed).random(shape) < share


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("shape", [(5, 7, 9), (1, 4, 2)])
def test_growing_by_neighbours_does_not_reach_around_the_ends(times, shape):
    inside = scattered(3, shape, 0.05)
    inside[0, -1, -1] = inside[-1, 0, 0] = True
    assert np.array_equal(dilated(inside, times), binary_dilation(inside, iterations=times))


@pytest.mark.parametrize("share", [0.02, 0.2, 0.35, 0.6, 0.95, 1.0])
@pytest.mark.parametrize("shape", [(11, 9, 13), (1, 6, 5), (8, 1, 1), (3, 4, 1)])
def test_the_largest_part_is_scipys_with_its_holes_filled(shape, share):
    for seed in range(12):
        region = scattered(seed, shape, share)
        region[tuple(n // 2 for n in shape)] = True
        parts, _ = label(region)
        expected = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
        expected = binary_fill_holes(np.pad(expected, 1))[1:-1, 1:-1, 1:-1] if min(shape) > 2 else expected
        inside, start = largest_part(region)
        found = np.zeros(shape, dtype=bool)
        found[tuple(slice(s, s + n) for s, n in zip(start, inside.shape, strict=True))] = inside
        assert np.array_equal(found, expected)
        for axis, own in enumerate(find_objects(expected.astype(int))[0]):
            assert start[axis] == max(own.start - 1, 0)
            assert start[axis] + inside.shape[axis] == min(own.stop + 1, shape[axis])


def test_a_hole_that_reaches_the_end_is_none():
    region = np.ones((5, 5, 5), dtype=bool)
    region[2, 2, 2] = region[0, 2, 2] = False
    inside, _ = largest_part(region)
    assert inside[2, 2, 2] and not inside[0, 2, 2]


@pytest.mark.parametrize("shape", [(11, 9, 13), (1, 6, 5), (4, 1, 1)])
def test_the_surface_is_where_neighbours_differ(shape):
    for seed in range(5):
        inside = scattered(seed, shape)
        touching = surface(inside)[1:-1, 1:-1, 1:-1] > 0
        assert np.array_equal(touching & ~inside, binary_dilation(inside) & ~inside)
        assert np.array_equal(touching & inside, binary_dilation(~inside) & inside)
