"""Measures of lesions against numbers that are worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.blobs import STORAGES, affine_of, empty, stored_as
from wslpet.analysis.burden.body import Body
from wslpet.analysis.burden.lesions import Origin, measure_lesions
from wslpet.core.errors import GeometryError, InputError
from wslpet.core.volume import Volume

LUNG, NODE = Origin("lung", "wslpet", 0, "annotation", "Ann", "2026-11-27T10:00:00.000+00:00"), Origin("lung", "41 %")


def two_boxes():
    """Voxels of 2 × 3 × 5 mm (0.03 ml), off-origin: a box of 2 × 3 × 4 voxels, SUV 1 … 24, and one voxel of SUV 7."""
    volume = empty((20, 24, 16), (2.0, 3.0, 5.0), (-30.0, 45.0, 610.0))
    volume.array[4:6, 10:13, 3:7] = np.arange(1, 25, dtype=np.float32).reshape(2, 3, 4)
    volume.array[15, 2, 12] = 7.0
    labels = np.zeros(volume.shape, np.uint8)
    labels[4:6, 10:13, 3:7] = 1
    labels[15, 2, 12] = 2
    return volume, volume.with_array(labels, "label")


def test_a_box_and_a_voxel_by_hand():
    volume, labels = two_boxes()
    box, voxel = measure_lesions(volume, labels, {1: LUNG, 2: NODE})
    # 2 · 3 · 4 = 24 voxels of 2 · 3 · 5 = 30 mm³; the mean of 1 … 24 is 12.5.
    assert (box.number, box.voxels, box.origin) == (1, 24, LUNG)
    assert box.volume_ml == pytest.approx(0.72)
    assert (box.suv_max, box.suv_mean, box.tlg) == pytest.approx((24.0, 12.5, 0.72 * 12.5))
    # Mean index (4.5, 11, 4.5), times the spacing, plus the origin.
    assert box.index == pytest.approx((4.5, 11.0, 4.5))
    assert box.position == pytest.approx((-30 + 2 * 4.5, 45 + 3 * 11, 610 + 5 * 4.5))
    assert (voxel.voxels, voxel.suv_max, voxel.suv_mean) == (1, 7.0, 7.0)
    assert (voxel.volume_ml, voxel.tlg) == pytest.approx((0.03, 0.21))
    assert voxel.position == pytest.approx((-30 + 2 * 15, 45 + 3 * 2, 610 + 5 * 12))
    assert voxel.index == pytest.approx((15, 2, 12))


def test_the_peak_of_a_plateau_is_its_value():
    volume = empty((30, 24, 20), (2.0, 3.0, 4.0))
    volume.array[5:25, 4:18, 4:16] = 6.0
    labels = volume.with_array((volume.array > 0).astype(np.uint8), "label")
    (lesion,) = measure_lesions(volume, labels, {1: LUNG})
    assert lesion.suv_peak == pytest.approx(6.0, rel=1e-5)


@pytest.mark.parametrize(("permutation", "flips"), STORAGES[1::7])
def test_storage_changes_the_index_and_nothing_else(permutation, flips):
    volume, labels = two_boxes()
    tilted = affine_of((2.0, 3.0, 5.0), (-30.0, 45.0, 610.0), 11.0)
    volume, labels = (Volume(v.array, tilted, v.unit, v.name) for v in (volume, labels))
    stored, mask = stored_as(volume, permutation, flips), stored_as(labels, permutation, flips)
    for one, two in zip(
        measure_lesions(volume, labels, {1: LUNG, 2: NODE}),
        measure_lesions(stored, mask, {1: LUNG, 2: NODE}),
        strict=True,
    ):
        assert two.position == pytest.approx(one.position, abs=1e-6)
        assert two.volume_ml == pytest.approx(one.volume_ml)
        assert (two.suv_max, two.suv_mean) == pytest.approx((one.suv_max, one.suv_mean))
        assert two.suv_peak == pytest.approx(one.suv_peak, rel=1e-5)
        np.testing.assert_allclose(stored.to_world(np.array(two.index)), two.position, atol=1e-6)


def test_sul_is_suv_times_lean_mass_over_weight():
    volume, labels = two_boxes()
    # A man of 80 kg and 1.80 m: BMI 80 / 3.24 = 24.6914; 9270 · 80 / (6680 + 216 · 24.6914) = 61.7314 kg lean.
    body = Body(80.0, 1.80, "M")
    factor = 61.7314 / 80
    assert body.sul_factor == pytest.approx(factor, rel=1e-5)
    box, _ = measure_lesions(volume, labels, {1: LUNG, 2: NODE}, body)
    assert (box.sul_max, box.sul_mean, box.tlg_sul) == pytest.approx(
        (24 * factor, 12.5 * factor, 9.0 * factor), rel=1e-5
    )
    assert box.sul_peak == pytest.approx(box.suv_peak * factor, rel=1e-5)


@pytest.mark.parametrize("body", [Body(), Body(80.0, None, "M"), Body(80.0, 1.8, ""), Body(80.0, 1.8, "O")])
def test_without_weight_height_and_sex_there_is_no_sul(body):
    volume, labels = two_boxes()
    box, _ = measure_lesions(volume, labels, {1: LUNG, 2: NODE}, body)
    assert (box.sul_max, box.sul_peak, box.sul_mean, box.tlg_sul) == (None,) * 4


def test_a_woman_has_another_lean_mass():
    # BMI 24.6914; 9270 · 80 / (8780 + 244 · 24.6914) = 50.0922 kg.
    assert Body(80.0, 1.80, "F").sul_factor == pytest.approx(50.0922 / 80, rel=1e-5)


def test_no_lesion_and_a_covered_one():
    volume, labels = two_boxes()
    assert measure_lesions(volume, labels.with_array(np.zeros_like(labels.array)), {}) == ()
    only_two = labels.with_array(np.where(labels.array == 2, 2, 0).astype(np.uint8))
    assert [lesion.number for lesion in measure_lesions(volume, only_two, {1: LUNG, 2: NODE})] == [2]


def test_a_label_value_without_an_origin_is_refused():
    volume, labels = two_boxes()
    with pytest.raises(InputError, match=r"label value 2 is none of the lesions \[1\]"):
        measure_lesions(volume, labels, {1: LUNG})


def test_labels_on_another_grid_are_refused():
    volume, labels = two_boxes()
    with pytest.raises(GeometryError, match="not on the grid"):
        measure_lesions(volume, labels.cropped((slice(0, 10), slice(0, 24), slice(0, 16))), {1: LUNG, 2: NODE})
    moved = Volume(labels.array, affine_of((2.0, 3.0, 5.0)), "label")
    with pytest.raises(GeometryError, match="not on the grid"):
        measure_lesions(volume, moved, {1: LUNG, 2: NODE})
