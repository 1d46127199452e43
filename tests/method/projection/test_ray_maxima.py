from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from wslpet.method.projection.ray_maxima import Maxima

ORDERS = [(order, steps) for order in permutations(range(3)) for steps in product((1, -1), repeat=3)]


def steps(shape=(7, 9, 11)) -> np.ndarray:
    """Of few values, below 0, too, so that most rays have their maximum twice; some rays hold -0 and 0 alone."""
    array = np.random.default_rng(0).integers(-3, 4, shape).astype(np.float32) / 2
    array[0], array[0, ::2] = 0.0, -0.0
    array[1:2, 1:2] = -1.5
    return array


@pytest.mark.parametrize(("order", "direction"), ORDERS)
def test_any_order_in_memory_and_any_order_of_parts(order, direction):
    stored = steps().transpose(order).copy()[tuple(slice(None, None, step) for step in direction)]
    array = stored.transpose(np.argsort(order))
    maxima = Maxima(array)
    for part in (slice(5, None), slice(0, 2), slice(2, 5)):
        maxima.take(part)
    for ray in (0, 1):
        values, where = maxima.along(ray)
        assert np.array_equal(values, array.max(axis=ray)) and values.dtype == np.float32
        assert np.array_equal(where, array.argmax(axis=ray)) and where.dtype == np.int32
    assert maxima.range == (array.min(), array.max())


@pytest.mark.parametrize("shape", [(1, 1, 6), (1, 5, 1), (4, 1, 1), (1, 5, 3), (2, 1, 3), (1, 1, 1)])
def test_axes_of_one_voxel(shape):
    array = np.empty(shape, dtype=np.float32, order="F")
    array[...] = steps(shape)
    maxima = Maxima(array)
    for z in range(shape[2]):
        maxima.take(slice(z, z + 1))
    for ray in (0, 1):
        assert np.array_equal(maxima.along(ray)[0], array.max(axis=ray))
        assert np.array_equal(maxima.along(ray)[1], array.argmax(axis=ray))


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_a_voxel_that_is_no_number_is_seen_in_the_range(value):
    array = steps()
    array[3, 4, 5] = value
    maxima = Maxima(array)
    maxima.take()
    assert not np.isfinite(maxima.range).all()


def test_a_part_of_an_array_that_lies_in_no_row():
    whole = steps((9, 9, 9))
    array = whole[1:8:2, 2:7, ::3]
    maxima = Maxima(array)
    maxima.take()
    assert np.array_equal(maxima.along(1)[0], array.max(axis=1))
