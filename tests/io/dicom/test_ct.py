"""A CT series: HU at their world positions, also where pixels are averaged; what is no CT is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.ct_series import write_ct
from tests.helpers.dicom_series import change as changed
from tests.helpers.dicom_series import small_series, values
from wslpet.core.errors import DicomError
from wslpet.core.volume import Volume
from wslpet.io.dicom.ct import read_ct

TILT = np.array([[0.8, 0, -0.6], [0, 1, 0], [0.6, 0, 0.8]])
AFFINES = {
    "flipped": [[-1.5, 0, 0, 90], [0, 2.0, 0, -40], [0, 0, 3.0, -400], [0, 0, 0, 1]],
    "permuted": [[0, 0, 3.0, -60], [-1.5, 0, 0, 80], [0, 2.0, 0, -380], [0, 0, 0, 1]],
    "oblique": np.block([[TILT * (1.5, 2.0, 3.0), np.zeros((3, 1))], [np.array([0, 0, 0, 1.0])]]).tolist(),
}
BONE = np.array([14.0, 12.0, -330.0])


@pytest.fixture(params=list(AFFINES))
def ct(request: pytest.FixtureRequest) -> Volume:
    """Water, a ball of bone off the centre, and one voxel of metal."""
    affine = np.array(AFFINES[request.param])
    affine[:3, 3] += BONE - affine[:3, 3] - affine[:3, :3] @ (31, 25, 22)
    array = np.zeros((64, 56, 40), np.float32)
    array[tuple(np.indices(array.shape)[:, np.linalg.norm(_world(affine, array.shape) - BONE, axis=-1) < 15])] = 900
    array[31, 25, 22] = 3000
    return Volume(array, affine, "HU", "ct")


def _world(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]


def test_hounsfield_units_are_at_their_world_positions(ct: Volume, tmp_path: Path) -> None:
    read = read_ct(write_ct(ct, tmp_path, "someone"))
    assert read.array.dtype == np.int16
    at = np.rint(read.to_index(BONE)).astype(int)
    assert read.array[tuple(at)] == 3000
    assert (read.array == 900).sum() == (ct.array == 900).sum() and read.array.min() == 0
    np.testing.assert_allclose(read.to_world(np.argwhere(read.array > 500)).mean(axis=0), BONE, atol=0.5)


def test_averaged_pixels_stay_at_their_world_positions(ct: Volume, tmp_path: Path) -> None:
    read = read_ct(write_ct(ct, tmp_path, "someone"), voxel_mm=6.5)
    in_slice = sorted(read.spacing)
    assert read.array.size < ct.array.size / 4 and in_slice[-1] <= 6.5
    np.testing.assert_allclose(read.to_world(np.argwhere(read.array > 450)).mean(axis=0), BONE, atol=1)
    whole = read.array.astype(float).sum() * read.voxel_ml
    assert whole == pytest.approx(ct.array.sum() * ct.voxel_ml, rel=0.01)


def test_a_slice_of_another_frame_of_reference_is_refused(tmp_path: Path) -> None:
    files = write_ct(Volume(np.zeros((4, 4, 5), np.float32), np.eye(4)), tmp_path, "someone")
    changed(files[2], values(FrameOfReferenceUID="1.2.3"))
    with pytest.raises(DicomError, match=r"0003\.dcm.*Frame of Reference"):
        read_ct(files)


def test_a_missing_slice_is_refused(tmp_path: Path) -> None:
    files = write_ct(Volume(np.zeros((4, 4, 5), np.float32), np.eye(4)), tmp_path, "someone")
    with pytest.raises(DicomError, match="1 missing between"):
        read_ct([*files[:2], *files[3:]])


def test_a_pet_is_no_ct(tmp_path: Path) -> None:
    with pytest.raises(DicomError, match="give the CT series"):
        read_ct(small_series(tmp_path))
