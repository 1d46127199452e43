from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.blobs import STORAGES, ellipsoid, empty, scan, stored_as
from wslpet.core.errors import InputError
from wslpet.method.delineation.thresholds import THRESHOLDS, threshold_contour


@pytest.fixture(scope="module")
def case():
    volume = empty((50, 44, 60), (4.0, 3.5, 3.0), origin=(-70.0, 30.0, 12.0))
    centre = volume.to_world(np.array([31, 14, 40]))
    return scan(volume, [(centre, (15, 15, 15), 9.0)], noise=0.0), centre


@pytest.mark.parametrize(
    ("threshold", "level"), [("41 %", 0.41), ("50 %", 0.5), ("SUV 2.5", 2.5), ("SUV 4.0", 4.0)], ids=list(THRESHOLDS)
)
def test_a_contour_is_what_is_above_the_level_around_the_click(case, threshold, level):
    volume, centre = case
    contour = threshold_contour(volume, volume.to_index(centre) + np.array([0.4, -0.6, 0.8]), threshold)
    level = level * volume.array.max() if level < 1 else level
    assert np.array_equal(contour.in_volume(volume.shape), volume.array >= level)
    assert contour.inside.any(axis=(1, 2)).all()  # no margin


def test_it_is_at_the_same_place_however_the_scan_is_stored(case):
    volume, centre = case
    expected = ellipsoid(volume, centre, (15, 15, 15))
    for storage in STORAGES[::11]:
        ras = stored_as(volume, *storage).to_ras()
        mask = threshold_contour(ras, ras.to_index(centre), "50 %").in_volume(ras.shape)
        assert np.linalg.norm(ras.to_world(np.argwhere(mask)).mean(axis=0) - centre) < 1.0
        assert abs(mask.sum() / expected.sum() - 1) < 0.2


def test_there_is_none_above_an_suv_that_the_maximum_does_not_reach(case):
    volume, _ = case
    assert threshold_contour(volume, np.array([8.0, 30.0, 12.0]), "SUV 2.5") is None
    assert threshold_contour(volume, np.array([8.0, 30.0, 12.0]), "41 %") is not None  # as flat as it is


def test_an_unknown_threshold_is_refused(case):
    volume, centre = case
    with pytest.raises(InputError, match="'45 %' is not known; give one of 41 %"):
        threshold_contour(volume, volume.to_index(centre), "45 %")
