from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.blobs import STORAGES, ellipsoid, empty, stored_as
from wslpet.analysis.uptake import PEAK_RADIUS_MM, measure, suv_peak

CENTRE = (52.0, 44.0, 60.0)


def ball(spacing=(2.0, 2.0, 2.0), radius=16.0, suv=8.0):
    shape = tuple(int(n / s) for n, s in zip((100, 90, 120), spacing, strict=True))
    volume = empty(shape, spacing)
    inside = ellipsoid(volume, CENTRE, (radius,) * 3)
    volume.array[inside] = suv
    return volume, inside


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (4.06, 4.06, 2.0), (3.0, 5.0, 4.0)])
def test_a_uniform_ball_measures_what_it_is(spacing):
    volume, inside = ball(spacing)
    found = measure(volume, inside)
    assert found["volume_ml"] == pytest.approx(4 / 3 * np.pi * 1.6**3, rel=0.06)
    assert found["volume_ml"] == pytest.approx(inside.sum() * np.prod(spacing) / 1000)
    assert (found["suv_max"], found["suv_mean"]) == pytest.approx((8.0, 8.0))
    assert found["suv_peak"] == pytest.approx(8.0, rel=1e-3)
    assert found["tlg"] == pytest.approx(found["volume_ml"] * 8.0)


def test_tlg_is_volume_times_mean():
    volume, inside = ball()
    volume.array[inside] = np.random.default_rng(0).uniform(2, 9, inside.sum()).astype(np.float32)
    found = measure(volume, inside)
    assert found["tlg"] == pytest.approx(volume.array[inside].sum(dtype=float) * 0.008, rel=1e-5)
    assert found["suv_mean"] < found["suv_peak"] < found["suv_max"]


def test_the_peak_is_the_mean_of_a_millilitre():
    volume, inside = ball(spacing=(1.0, 1.0, 1.0))
    rng = np.random.default_rng(0)
    smooth = 9 - 0.02 * ((np.indices(volume.shape).T - np.array(CENTRE)).T ** 2).sum(axis=0)
    volume.array[:] = smooth + 0.01 * rng.standard_normal(volume.shape)
    sphere = ellipsoid(volume, CENTRE, (PEAK_RADIUS_MM,) * 3)
    assert suv_peak(volume, inside) == pytest.approx(float(volume.array[sphere].mean()), rel=0.02)


def test_one_hot_voxel_is_not_the_peak():
    volume, inside = ball()
    volume.array[26, 22, 30] = 100.0
    assert measure(volume, inside)["suv_max"] == 100.0
    assert 8.2 < suv_peak(volume, inside) < 12.0


@pytest.mark.parametrize(("permutation", "flips"), STORAGES[1::9])
def test_storage_does_not_change_a_measure(permutation, flips):
    volume, inside = ball(spacing=(3.0, 5.0, 4.0))
    volume.array[inside] = np.random.default_rng(0).uniform(2, 9, inside.sum()).astype(np.float32)
    stored = stored_as(volume, permutation, flips)
    mask = stored_as(volume.with_array(inside.astype(np.uint8)), permutation, flips)
    assert measure(stored, mask.array > 0) == pytest.approx(measure(volume, inside), rel=1e-4)


def test_a_lesion_of_one_voxel_at_the_edge_is_measured():
    volume = empty((5, 5, 5))
    volume.array[0, 0, 4] = 6.0
    found = measure(volume, volume.array > 0)
    assert found["volume_ml"] == pytest.approx(0.064)
    assert np.isfinite(list(found.values())).all()
