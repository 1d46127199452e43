from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.blobs import STORAGES, affine_of, stored_as
from wslpet.core.errors import GeometryError
from wslpet.core.volume import Volume


def numbered(tilt_degrees: float = 0.0) -> Volume:
    array = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    return Volume(array, affine_of((2.0, 3.0, 5.0), (-11.0, 40.0, -300.0), tilt_degrees), "SUV", "case")


def places(volume: Volume) -> dict[float, np.ndarray]:
    return {float(volume.array[tuple(i)]): volume.to_world(i) for i in np.argwhere(np.isfinite(volume.array))}


@pytest.mark.parametrize("tilt", [0.0, 12.0])
@pytest.mark.parametrize(("permutation", "flips"), STORAGES)
def test_a_volume_of_any_stored_orientation_is_reoriented_to_ras(permutation, flips, tilt):
    original = numbered(tilt)
    stored = stored_as(original, permutation, flips)
    ras = stored.to_ras()
    assert nib.aff2axcodes(ras.affine) == ("R", "A", "S")
    assert np.array_equal(ras.array, original.array)
    assert np.allclose(ras.affine, original.affine)


@pytest.mark.parametrize(("permutation", "flips"), STORAGES[::5])
def test_reorienting_keeps_the_world_position_of_every_voxel(permutation, flips):
    stored = stored_as(numbered(7.0), permutation, flips)
    before, after = places(stored), places(stored.to_ras())
    assert before.keys() == after.keys()
    assert all(np.allclose(before[value], after[value]) for value in before)


@pytest.mark.parametrize(("permutation", "flips"), STORAGES)
def test_from_ras_is_the_inverse_of_in_ras(permutation, flips):
    stored = stored_as(numbered(), permutation, flips)
    np.testing.assert_array_equal(stored.from_ras(stored.to_ras().array), stored.array)


def test_reoriented_arrays_are_views():
    stored = stored_as(numbered(), (2, 0, 1), (True, False, True))
    assert np.shares_memory(stored.to_ras().array, stored.array)


def test_index_and_world_are_inverse():
    volume = stored_as(numbered(20.0), (1, 2, 0), (False, True, False))
    index = np.array([[0.0, 0.0, 0.0], [1.5, -0.25, 2.0]])
    assert np.allclose(volume.to_index(volume.to_world(index)), index)
    assert np.allclose(volume.to_world([0, 0, 0]), volume.affine[:3, 3])


@pytest.mark.parametrize(
    ("index", "inside"),
    [
        ((-0.5, 0, 0), True),
        ((2.5, 3.5, 4.5), True),
        ((-0.51, 0, 0), False),
        ((0, 3.51, 0), False),
        ((0, 0, np.nan), False),
    ],
)
def test_contains_includes_half_a_voxel_beyond_the_outer_centres(index, inside):
    assert numbered().contains(np.array(index)) is inside


def test_spacing_and_voxel_volume_do_not_depend_on_tilt():
    assert numbered(30.0).spacing == pytest.approx((2, 3, 5))
    assert numbered(30.0).voxel_ml == pytest.approx(0.03)


def test_with_array_keeps_the_geometry_and_refuses_another_shape():
    volume = numbered()
    mask = volume.with_array(np.zeros(volume.shape, np.uint8), "label")
    assert (mask.unit, mask.name) == ("label", "case")
    assert np.array_equal(mask.affine, volume.affine)
    with pytest.raises(GeometryError, match=r"case: array of shape \(1, 2, 3\)"):
        volume.with_array(np.zeros((1, 2, 3)))


def test_the_affine_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        numbered().affine[0, 0] = 3


def test_building_a_volume_leaves_the_callers_affine_alone():
    affine = affine_of()
    volume = Volume(np.zeros((2, 2, 2), np.float32), affine)
    affine[0, 3] = 99.0
    assert volume.affine[0, 3] == 0.0


@pytest.mark.parametrize(
    ("shape", "affine", "said"),
    [
        ((4, 4), np.eye(4), "not a 3D volume"),
        ((4, 4, 4, 2), np.eye(4), "not a 3D volume"),
        ((0, 4, 4), np.eye(4), "not a 3D volume"),
        ((4, 4, 4), np.eye(3), "finite 4×4"),
        ((4, 4, 4), np.full((4, 4), np.nan), "finite 4×4"),
        ((4, 4, 4), np.diag([1, 0, 1, 1]), "spacing"),
        ((4, 4, 4), np.diag([1, 80, 1, 1]), "spacing"),
        ((4, 4, 4), np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "singular"),
    ],
)
def test_an_unusable_geometry_is_refused(shape, affine, said):
    with pytest.raises(GeometryError, match=f"case: .*{said}"):
        Volume(np.zeros(shape, np.float32), affine, name="case")
