"""Burden and dissemination against distances that are worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.helpers.blobs import empty
from wslpet.analysis.burden.body import NOTHING_KNOWN, Body, body_of
from wslpet.analysis.burden.lesions import Origin, measure_lesions
from wslpet.analysis.burden.patient import burden_of


def lesions(*corners, spacing=(4.0, 3.0, 2.0), body=NOTHING_KNOWN, sizes=(1, 1, 1, 1)):
    """Cubes at these voxels, as many voxels long along x as their size says, SUV 2, 3, 4, …"""
    volume = empty((60, 60, 60), spacing, (100.0, -300.0, 50.0))
    labels = np.zeros(volume.shape, np.uint8)
    for n, ((i, j, k), size) in enumerate(zip(corners, sizes, strict=False), start=1):
        volume.array[i : i + size, j, k] = n + 1
        labels[i : i + size, j, k] = n
    origins = {n: Origin("lung") for n in range(1, len(corners) + 1)}
    return measure_lesions(volume, volume.with_array(labels, "label"), origins, body)


def test_a_triangle_by_hand():
    # Voxels of 4 × 3 × 2 mm: 10 voxels along x are 40 mm, 10 along y 30 mm: a right triangle of 30, 40, 50 mm.
    burden = burden_of(lesions((5, 5, 5), (15, 5, 5), (5, 15, 5)))
    assert burden.lesions == 3
    assert burden.mtv_ml == pytest.approx(3 * 0.024)
    assert burden.tlg == pytest.approx(0.024 * (2 + 3 + 4))
    assert burden.suv_max == 4.0
    assert burden.dmax_mm == pytest.approx(50.0)
    # Sums of distances: 40 + 30 = 70, 40 + 50 = 90, 30 + 50 = 80.
    assert burden.spread_mm == pytest.approx(90.0)


def test_distances_from_the_bulk_are_those_of_the_largest_lesion():
    # The second is 3 voxels long, its middle at voxel 16: 44 mm from the first; √(44² + 30²) mm from the third.
    burden = burden_of(lesions((5, 5, 5), (15, 5, 5), (5, 15, 5), sizes=(1, 3, 1)))
    far = math.hypot(44, 30)
    assert burden.dmax_bulk_mm == pytest.approx(far)
    assert burden.spread_bulk_mm == pytest.approx(44 + far)
    assert burden.mtv_ml == pytest.approx(5 * 0.024)


def test_one_lesion_has_no_distance_and_none_nothing():
    one = burden_of(lesions((5, 5, 5)))
    assert (one.lesions, one.dmax_mm, one.spread_mm, one.dmax_bulk_mm, one.spread_bulk_mm) == (1, 0.0, 0.0, 0.0, 0.0)
    none = burden_of(())
    assert (none.lesions, none.mtv_ml, none.tlg) == (0, 0.0, 0.0)
    assert (none.suv_max, none.suv_peak, none.dmax_mm, none.spread_mm) == (None,) * 4


def test_dmax_by_body_surface():
    # Du Bois: 0.007184 · 80^0.425 · 180^0.725 = 1.99638 m². Dmax 50 mm.
    body = Body(80.0, 1.80, "")
    burden = burden_of(lesions((5, 5, 5), (15, 5, 5), (5, 15, 5)), body)
    assert body.surface_m2 == pytest.approx(0.007184 * 80**0.425 * 180**0.725)
    assert body.surface_m2 == pytest.approx(1.9964, abs=1e-3)
    assert burden.sdmax_per_m == pytest.approx(0.050 / 1.9964, rel=1e-3)
    assert burden.dmax_per_sqrt_bsa == pytest.approx(0.050 / 1.41294, rel=1e-3)
    assert burden.sul_max is None
    assert burden_of(lesions((5, 5, 5)), Body(80.0)).sdmax_per_m is None


def test_sul_of_all():
    body = Body(80.0, 1.80, "M")
    burden = burden_of(lesions((5, 5, 5), (15, 5, 5), body=body), body)
    assert burden.sul_max == pytest.approx(3 * 61.7314 / 80, rel=1e-5)
    assert burden.tlg_sul == pytest.approx(0.024 * 5 * 61.7314 / 80, rel=1e-5)


def test_the_body_of_a_header():
    header = Dataset()
    assert body_of(header) == Body()
    header.PatientWeight, header.PatientSize, header.PatientSex = "72.5", "1.74", "F"
    assert body_of(header) == Body(72.5, 1.74, "F")
    header.PatientSize = "174"  # cm
    assert body_of(header) == Body(72.5, None, "F")
