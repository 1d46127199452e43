from __future__ import annotations

import numpy as np
import pytest
import torch

import wslpet.method.projection.mip
from tests.helpers.blobs import STORAGES, empty, stored_as
from wslpet.core.volume import Volume
from wslpet.method.projection.mip import project, to_grid

SPACINGS = [(4.0, 4.0, 4.0), (2.0, 2.0, 2.0), (4.06, 4.06, 2.0), (5.5, 5.5, 3.27), (3.0, 4.5, 7.0)]


def noise(shape=(7, 9, 11)) -> Volume:
    return Volume(np.random.default_rng(1).uniform(0, 9, shape).astype(np.float32), np.diag([2.0, 3.0, 4.0, 1.0]))


def test_a_mip_is_the_maximum_along_the_ray():
    volume = noise()
    coronal, sagittal = project(volume)
    assert np.array_equal(coronal.mip, volume.array.max(axis=1))
    assert np.array_equal(sagittal.mip, volume.array.max(axis=0))
    assert (coronal.spacing, sagittal.spacing) == ((2.0, 4.0, 3.0), (3.0, 4.0, 2.0))


def test_lifting_gives_the_voxel_that_the_pixel_shows():
    volume = noise()
    for projection in project(volume):
        for u, z in np.ndindex(projection.mip.shape):
            voxel = projection.lift(u, z)
            assert volume.array[voxel] == projection.mip[u, z]
            assert voxel[2] == z


def steps() -> Volume:
    """Of few values, so that most rays have their maximum more than once."""
    array = np.random.default_rng(2).integers(0, 4, (13, 11, 17)).astype(np.float32)
    return Volume(array, np.diag([2.0, 3.0, 4.0, 1.0]))


@pytest.mark.parametrize(("permutation", "flips"), STORAGES[::5])
def test_storage_changes_nothing(permutation, flips):
    ras = stored_as(steps(), permutation, flips).to_ras()
    for projection, axis in zip(project(ras), (1, 0), strict=True):
        assert np.array_equal(projection.mip, ras.array.max(axis=axis))
        assert np.array_equal(projection.depth, ras.array.argmax(axis=axis))


@pytest.mark.parametrize(("permutation", "flips"), STORAGES[::5])
def test_torch_projects_the_same(permutation, flips):
    ras = stored_as(steps(), permutation, flips).to_ras()
    ras.array.flags.writeable = False
    for (mip, depth), projection in zip(
        wslpet.method.projection.mip._maxima_on("cpu", ras.array), project(ras), strict=True
    ):
        assert np.array_equal(mip, projection.mip) and mip.dtype == projection.mip.dtype
        assert np.array_equal(depth, projection.depth) and depth.dtype == projection.depth.dtype


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize(("permutation", "flips"), STORAGES[::5])
def test_a_gpu_projects_the_same(permutation, flips):
    ras = stored_as(steps(), permutation, flips).to_ras()
    for one, other in zip(project(ras, "cuda"), project(ras), strict=True):
        assert np.array_equal(one.mip, other.mip)
        assert np.array_equal(one.depth, other.depth)


def test_views_are_placed_as_their_volume():
    volume = steps()
    views = project(volume)
    assert views.shape == volume.shape
    index = np.array([3.2, 7.9, 11.4])
    assert np.allclose(views.to_world(index), volume.to_world(index))
    assert views.contains(index) and not views.contains(np.array([3.2, 10.6, 11.4]))


def test_the_scan_is_not_modified():
    volume = noise()
    before = volume.array.copy()
    to_grid(project(volume), 4.0)
    assert np.array_equal(volume.array, before)


def point_source(spacing, place_mm) -> tuple[Volume, np.ndarray]:
    """A body of SUV 1, off-centre in a larger field, with one hot voxel."""
    size = np.array([260.0, 220.0, 300.0])
    volume = empty(tuple(np.ceil(size / spacing).astype(int)), spacing)
    array = volume.array
    low, high = np.rint(np.array([70, 60, 90]) / spacing), np.rint(np.array([230, 200, 280]) / spacing)
    array[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))] = 1.0
    voxel = np.rint(np.array(place_mm) / spacing).astype(int)
    array[tuple(voxel)] = 500.0
    return volume, voxel


def hot_pixel(mip: np.ndarray) -> np.ndarray:
    """Centre of mass of what stands out of the body."""
    above = np.clip(mip - 2.0, 0, None)
    return np.array([(np.arange(n) * above.sum(axis=1 - a)).sum() / above.sum() for a, n in enumerate(mip.shape)])


@pytest.mark.parametrize("grid_mm", [4.0, 2.0])
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("place_mm", [(90, 75, 110), (215, 185, 262), (140, 180, 120)])
def test_a_point_lands_where_from_voxel_says(spacing, grid_mm, place_mm):
    volume, (x, y, z) = point_source(spacing, place_mm)
    coronal, sagittal = to_grid(project(volume), grid_mm)
    assert np.abs(hot_pixel(coronal.mip) - coronal.from_voxel([x, z])).max() < 0.5
    assert np.abs(hot_pixel(sagittal.mip) - sagittal.from_voxel([y, z])).max() < 0.5


@pytest.mark.parametrize("spacing", SPACINGS)
def test_both_views_share_z_and_are_cropped_to_the_body(spacing):
    volume, _ = point_source(spacing, (140, 180, 120))
    coronal, sagittal = to_grid(project(volume), 4.0)
    assert coronal.origin[1] == sagittal.origin[1] > 0
    assert coronal.mip.shape[1] == sagittal.mip.shape[1]
    assert coronal.origin[0] > 0
    body = [160 / 4, 190 / 4]
    assert all(n <= b + 2 * 4 + 3 for n, b in zip(coronal.mip.shape, body, strict=True))


def test_depth_is_in_millimetres_from_the_middle_of_the_body():
    volume, _ = point_source((4.0, 4.0, 4.0), (140, 180, 120))
    coronal, _ = to_grid(project(volume), 4.0)
    u, z = np.rint(coronal.from_voxel([35, 30])).astype(int)
    middle = float(np.median(np.argmax(volume.array, axis=1)[volume.array.max(axis=1) > 0.5])) * 4.0
    assert coronal.depth_mm[u, z] == pytest.approx(180 - middle, abs=8.0)
    assert coronal.depth_mm[0, 0] == 0.0


def test_a_scan_without_a_body_is_not_cropped():
    volume = empty((10, 12, 14))
    coronal, sagittal = to_grid(project(volume), 4.0)
    assert coronal.mip.shape[1] == sagittal.mip.shape[1] >= 14
