"""A CT beside a PET file: on the PET's voxels in world coordinates, whatever the orientations."""

import numpy as np
import pytest

from wslpet.core.volume import Volume
from wslpet.io.folders import Tree
from wslpet.server.series.ct import AIR_HU, resampled
from wslpet.server.storage.images.image_files import image_files

# CTs of 2 × 2 × 3 mm in another orientation, and off the PET's origin.
FLIPPED = np.array([[-2.0, 0, 0, 90], [0, 2.0, 0, -40], [0, 0, 3.0, -400], [0, 0, 0, 1]])
PERMUTED = np.array([[0, 0, 2.0, -60], [-2.0, 0, 0, 80], [0, 3.0, 0, -380], [0, 0, 0, 1]])
GRID = np.array([[5.0, 0, 0, -50], [0, 4.0, 0, -30], [0, 0, 6.0, -380], [0, 0, 0, 1]])
BONE = np.array([10.0, 22.0, -320.0])


def ct_with_bone(affine: np.ndarray) -> Volume:
    """Water, with a ball of 20 mm of bone off its centre."""
    shape = (80, 70, 60)
    volume = Volume(np.zeros(shape, np.float32), affine, "HU", "ct")
    world = volume.to_world(np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3)).reshape(*shape, 3)
    return volume.with_array(np.where(np.linalg.norm(world - BONE, axis=-1) < 20, 1000, 0).astype(np.float32))


@pytest.mark.parametrize("affine", [FLIPPED, PERMUTED], ids=["flipped", "permuted"])
def test_bone_of_the_resampled_ct_is_at_its_world_position(affine: np.ndarray) -> None:
    grid = Volume(np.zeros((20, 24, 22), np.float32), GRID, "SUV", "pet")
    found = resampled(ct_with_bone(affine), grid)
    assert found.dtype == np.int16 and found.shape == grid.shape
    world = grid.to_world(np.argwhere(found > 500))
    np.testing.assert_allclose(world.mean(axis=0), BONE, atol=2)
    volume = (found > 500).sum() * grid.voxel_ml
    assert volume == pytest.approx(4 / 3 * np.pi * 2**3, rel=0.1)


def test_there_is_air_beyond_the_ct() -> None:
    far = GRID.copy()
    far[:3, 3] += 1000
    assert (resampled(ct_with_bone(FLIPPED), Volume(np.zeros((4, 4, 4), np.float32), far)) == AIR_HU).all()


def test_the_ct_of_a_pet_is_not_listed_as_an_image() -> None:
    names = ("a.nii.gz", "a_ct.nii.gz", "b_ct.nii.gz")
    images, left_out = image_files(Tree(files=list(names)), {})
    assert set(images) == {"a", "b_ct"}
    assert left_out == {"a_ct.nii.gz": "the CT of a, which the page shows under it"}
