from __future__ import annotations

import numpy as np
import pytest

from tests.method.projection.test_mip import noise
from wslpet.core.volume import Volume
from wslpet.method.projection.mip import project
from wslpet.method.projection.rotated import rotated_mips


def test_a_rotated_mip_shows_voxels_as_they_are():
    volume = noise((9, 7, 5))
    for seen in rotated_mips(volume, (0, 30, 77, 180, 315)):
        x, y = seen.column[..., 0], seen.column[..., 1]
        values = volume.array[x, y, np.broadcast_to(np.arange(5), x.shape)]
        met = seen.mip > 0
        assert met.any()
        assert np.array_equal(seen.mip[met], values[met])


def test_a_pixel_is_the_highest_of_the_voxels_that_belong_to_it():
    volume = noise((9, 7, 5))
    for seen in rotated_mips(volume, (20, 110)):
        for u in np.unique(seen.bins):
            assert np.array_equal(seen.mip[u], np.maximum(volume.array[seen.bins == u].max(axis=0), 0))


def test_a_rotated_mip_at_right_angles_is_a_view_and_its_mirror():
    volume = Volume(noise().array, np.diag([2.0, 2.0, 3.0, 1.0]))
    coronal, sagittal = project(volume)
    views = (coronal.mip, sagittal.mip, coronal.mip[::-1], sagittal.mip[::-1])
    for seen, mip in zip(rotated_mips(volume, (0, 90, 180, 270)), views, strict=True):
        rows = np.flatnonzero(seen.mip.any(axis=1))
        assert np.array_equal(seen.mip[rows[0] : rows[-1] + 1], mip)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("flipped", [(), (0,), (1, 2), (0, 1, 2)])
def test_the_order_in_memory_does_not_matter(order, flipped):
    array = noise((9, 7, 5)).array
    stored = np.flip(np.array(np.flip(array, flipped), order=order), flipped)
    affine = np.diag([4.0, 5.0, 3.0, 1.0])
    plain, other = (rotated_mips(Volume(a, affine), (35,))[0] for a in (np.ascontiguousarray(array), stored))
    assert np.array_equal(plain.mip, other.mip) and np.array_equal(plain.column, other.column)


@pytest.mark.parametrize("spacing", [(4.0, 5.0, 3.0), (5.0, 4.0, 3.0), (2.0, 2.0, 5.0)])
@pytest.mark.parametrize("degrees", [0, 10, 40, 90, 200])
def test_no_pixel_between_two_voxels_is_empty(spacing, degrees):
    volume = Volume(np.ones((30, 24, 2), dtype=np.float32), np.diag([*spacing, 1.0]))
    seen = rotated_mips(volume, [degrees])[0].mip
    rows = np.flatnonzero(seen.any(axis=1))
    assert (seen[rows[0] : rows[-1] + 1] == 1).all()


@pytest.mark.parametrize("degrees", [0, 40, 90, 200])
def test_a_point_lies_where_the_rotated_mip_shows_it(degrees):
    array = np.zeros((30, 24, 6), dtype=np.float32)
    array[21, 5, 4] = 7
    volume = Volume(array, np.diag([4.0, 5.0, 3.0, 1.0]))
    seen = rotated_mips(volume, [degrees])[0]
    u, z = np.argwhere(seen.mip == 7).T
    assert set(z) == {4} and (seen.column[u, z] == (21, 5)).all()
    mm = (np.array([21.5, 5.5]) - np.array([15, 12])) * (4.0, 5.0)
    across = mm @ (np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees)))
    assert seen.spacing == (5.0, 3.0)
    assert abs((u.mean() + 0.5 - seen.mip.shape[0] / 2) * 5.0 - across) < 3
