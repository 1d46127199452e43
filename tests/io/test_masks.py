from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.blobs import affine_of, stored_as
from tests.io.test_readers import SHAPE, original
from wslpet.core.volume import Volume
from wslpet.io.masks import mask_content, read_mask, write_mask


def test_a_mask_may_be_one_slice(tmp_path):
    mask = Volume(np.ones((4, 5, 1), np.uint8), affine_of(), "label")
    write_mask(mask, tmp_path / "mask.nrrd")
    assert read_mask(tmp_path / "mask.nrrd").shape == (4, 5, 1)


@pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_mask_is_written_where_the_scan_is(tmp_path, extension):
    stored = stored_as(original(), (2, 0, 1), (True, False, True))
    mask = stored.with_array((stored.array > 5).astype(np.uint8) * 2, "label")
    write_mask(mask, tmp_path / f"mask{extension}")
    back = read_mask(tmp_path / f"mask{extension}")
    assert np.array_equal(back.array, mask.array)
    assert np.allclose(back.affine, stored.affine, atol=1e-4)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("slices", [None, slice(1, 3), slice(0, 0), slice(0, 5), slice(4, 5)])
def test_mask_content_equals_the_written_file(tmp_path, extension, compress, slices, monkeypatch):
    monkeypatch.setattr("wslpet.io.masks._NOTHING_BYTES", 7)
    array = np.zeros((3, 4, 5), np.uint8, order="F")
    array[1, 2:, slices or slice(2, 4)] = 2
    mask = Volume(array, np.diag([2.0, 3, 4, 1]), "label")
    write_mask(mask, tmp_path / f"file{extension}", compress)
    (tmp_path / f"memory{extension}").write_bytes(mask_content(mask, extension, compress, slices))
    file, memory = (read_mask(tmp_path / f"{name}{extension}") for name in ("file", "memory"))
    assert np.array_equal(memory.array, array) and np.array_equal(file.array, array)
    assert np.array_equal(memory.affine, file.affine)


def test_a_nifti_mask_is_stored_as_uint8(tmp_path):
    volume = original()
    write_mask(volume.with_array(np.ones(SHAPE, np.uint8), "label"), tmp_path / "mask.nii.gz")
    assert nib.load(tmp_path / "mask.nii.gz").get_data_dtype() == np.uint8
