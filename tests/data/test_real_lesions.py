from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from wslpet.core.errors import InputError
from wslpet.data.real_lesions import CLICKS, real_lesions

AFFINE = np.diag([4.0, 4.0, 3.0, 1.0])


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, AFFINE), path)


@pytest.fixture
def masked():
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[3:6, 3:6, 3:6], labels[12:18, 12:18, 12:18] = 1, 2
    labels[14:16, 14:16, 14:16] = 0  # its centre is not of it
    return labels


def test_every_label_is_a_lesion_of_its_scans_group(tmp_path, masked):
    write(tmp_path / "head_neck_2_suv.nii.gz", np.ones(masked.shape, np.float32))
    write(tmp_path / "head_neck_2_mask.nii.gz", masked)
    write(tmp_path / "STS_001" / "PET_image.nii.gz", np.ones((*masked.shape, 1), np.float32))
    write(tmp_path / "STS_001" / "PET_mask.nii.gz", (masked == 1).astype(np.uint8)[..., None])
    found = list(real_lesions(tmp_path))
    assert [(one.name, one.group) for one in found] == [
        ("head_neck_2/1", "head_neck"),
        ("head_neck_2/2", "head_neck"),
        ("STS_001", "STS"),
    ]
    assert [int(one.truth.sum()) for one in found] == [27, 208, 27]
    assert found[2].volume.spacing == (4.0, 4.0, 3.0)


def test_clicks_lie_on_the_lesion_near_its_centre_and_are_the_same_again(tmp_path, masked):
    write(tmp_path / "a_suv.nii.gz", np.ones(masked.shape, np.float32))
    write(tmp_path / "a_mask.nii.gz", masked)
    first, again = ([one.clicks() for one in real_lesions(tmp_path)] for _ in range(2))
    for lesion, clicks, same in zip(real_lesions(tmp_path), first, again, strict=True):
        assert clicks.shape == (CLICKS, 3) and np.array_equal(clicks, same)
        assert all(lesion.truth[tuple(click)] for click in clicks)


def test_a_scan_without_its_mask_is_named(tmp_path, masked):
    with pytest.raises(InputError, match="no NAME_suv"):
        list(real_lesions(tmp_path))
    write(tmp_path / "a_suv.nii.gz", np.ones(masked.shape, np.float32))
    with pytest.raises(InputError, match="has no mask a_mask"):
        list(real_lesions(tmp_path))
    write(tmp_path / "a_mask.nii.gz", masked[:-1])
    with pytest.raises(InputError, match="shape"):
        list(real_lesions(tmp_path))
