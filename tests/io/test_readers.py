from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from tests.helpers.blobs import STORAGES, affine_of, stored_as
from wslpet.core.errors import GeometryError, InputError
from wslpet.core.volume import Volume
from wslpet.io.readers import decoded_bytes, read_volume

SHAPE = (5, 6, 7)


def original() -> Volume:
    array = np.random.default_rng(0).uniform(0, 9, SHAPE).astype(np.float32)
    return Volume(array, affine_of((2.0, 3.0, 4.5), (-20.0, 31.0, 410.0), 10.0), "SUV", "case")


def write(volume: Volume, path) -> None:
    if path.name.endswith((".nii", ".nii.gz")):
        nib.save(nib.Nifti1Image(volume.array, volume.affine), path)
        return
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.T))
    image.SetSpacing(volume.spacing)
    image.SetDirection((lps[:3, :3] / volume.spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path))


def nifti(path, array, affine=None, code=1):
    image = nib.Nifti1Image(array, affine_of() if affine is None else affine)
    image.set_sform(image.affine, code)
    image.set_qform(None, 0)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("extension", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize(("permutation", "flips"), STORAGES[::7])
def test_every_format_keeps_values_and_world(tmp_path, extension, permutation, flips):
    stored = stored_as(original(), permutation, flips)
    path = tmp_path / f"case{extension}"
    write(stored, path)
    read = read_volume(path)
    assert (read.unit, read.array.dtype) == ("SUV", np.float32)
    assert np.array_equal(read.array, stored.array)
    assert np.allclose(read.affine, stored.affine, atol=1e-4)


def test_slope_is_applied(tmp_path):
    stored = np.random.default_rng(0).integers(0, 101, SHAPE).astype(np.int16)
    stored[1, 2, 3] = 100
    image = nib.Nifti1Image(stored, affine_of())
    image.header.set_slope_inter(0.05, 0)
    nib.save(image, tmp_path / "case.nii.gz")
    assert read_volume(tmp_path / "case.nii.gz").array.max() == pytest.approx(5.0)


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".mha"])
def test_a_single_frame_is_3d(tmp_path, extension, frames):
    """Frames are axes of one voxel beyond the third."""
    volume = original()
    path = tmp_path / f"case{extension}"
    if extension == ".nii.gz":
        nib.save(nib.Nifti1Image(volume.array[(..., *[None] * frames)], volume.affine), path)
    else:
        write(volume, path)
        image = sitk.ReadImage(str(path))
        for _ in range(frames):
            image = sitk.JoinSeries([image])
        sitk.WriteImage(image, str(path))
    read = read_volume(path)
    assert np.array_equal(read.array, volume.array)
    assert np.allclose(read.affine, volume.affine, atol=1e-4)


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".mha"])
def test_two_frames_are_refused(tmp_path, extension):
    volume = original()
    path = tmp_path / f"case{extension}"
    write(volume, path)
    image = sitk.ReadImage(str(path))
    sitk.WriteImage(sitk.JoinSeries([image, image]), str(path))
    with pytest.raises(GeometryError, match=r"\(5, 6, 7, 2\) is not 3D"):
        read_volume(path)


@pytest.mark.parametrize("extension", [".NII.GZ", ".Nii", ".NRRD", ".MHA"])
def test_an_ending_may_be_in_capitals(tmp_path, extension):
    write(original(), tmp_path / f"case{extension.lower()}")
    path = (tmp_path / f"case{extension.lower()}").rename(tmp_path / f"CASE{extension}")
    assert np.array_equal(read_volume(path).array, original().array)
    assert decoded_bytes(path) == original().array.nbytes


def test_the_name_of_a_link_tells_the_format(tmp_path):
    write(original(), tmp_path / "case.nii.gz")
    (tmp_path / "case.nii.gz").rename(tmp_path / "3f2a9c")
    (tmp_path / "case.nii.gz").symlink_to(tmp_path / "3f2a9c")
    assert np.array_equal(read_volume(tmp_path / "case.nii.gz").array, original().array)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".mha"])
def test_one_slice_is_no_volume(tmp_path, extension, axis):
    volume = original()
    window = [slice(0, n) for n in SHAPE]
    window[axis] = slice(1, 2)
    write(volume.cropped(tuple(window)), tmp_path / f"case{extension}")
    with pytest.raises(GeometryError, match="is one slice, no volume; give the whole scan"):
        read_volume(tmp_path / f"case{extension}")
    window[axis] = slice(1, 3)
    write(volume.cropped(tuple(window)), tmp_path / f"case{extension}")
    assert read_volume(tmp_path / f"case{extension}").shape[axis] == 2


def filled(value: float, k: int = 3) -> np.ndarray:
    array = original().array
    array[1, 2, k] = value
    return array


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.ones((5, 6), np.float32), "not 3D"),
        (np.ones((5, 6, 7, 2), np.float32), "not 3D"),
        (filled(np.nan), "NaN or infinite"),
        (filled(np.nan, 0), "NaN or infinite"),
        (filled(np.nan, -1), "NaN or infinite"),
        (filled(np.inf), "NaN or infinite"),
        (np.zeros(SHAPE, np.float32), "is empty"),
        (original().array * 60 - 200, "% of its voxels are below -1.*CT in HU"),
        (filled(25_000.0), "Bq/ml"),
        (filled(25_000.0, -1), "Bq/ml"),
    ],
)
def test_an_image_that_is_not_a_pet_in_suv_is_refused(tmp_path, array, said):
    with pytest.raises(InputError, match=rf"case\.nii\.gz.*{said}"):
        read_volume(nifti(tmp_path / "case.nii.gz", array))


def test_no_orientation_is_refused(tmp_path):
    with pytest.raises(GeometryError, match="no orientation"):
        read_volume(nifti(tmp_path / "case.nii.gz", np.ones(SHAPE, np.float32), code=0))


@pytest.mark.parametrize(
    ("affine", "said"),
    [
        (np.array([[4, 4, 0, 0], [0, 0, 4, 0], [0, 0, 4, 0], [0, 0, 0, 1.0]]), "singular"),
        (np.diag([4, 0, 4, 1.0]), "spacing"),
    ],
)
def test_a_useless_affine_is_refused(tmp_path, affine, said):
    path = nifti(tmp_path / "case.nii", np.ones(SHAPE, np.float32))
    raw = bytearray(path.read_bytes())
    raw[280:328] = affine[:3].astype("<f4").tobytes()  # srow_x, srow_y, srow_z
    path.write_bytes(raw)
    with pytest.raises(GeometryError, match=said):
        read_volume(path)


def test_a_truncated_gzip_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    path = nifti(tmp_path / "case.nii.gz", rng.uniform(0, 9, (20, 20, 20)).astype(np.float32))
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(InputError, match=r"case\.nii\.gz cannot be read"):
        read_volume(path)


@pytest.mark.parametrize("name", ["case.nii", "case.nii.gz", "case.nrrd", "case.mha"])
@pytest.mark.parametrize("content", [b"", b"nothing of the kind" * 40])
def test_another_kind_of_file_is_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") and content else content)
    with pytest.raises(InputError, match=r"case\..* cannot be read"):
        read_volume(path)


def test_a_missing_file_and_a_strange_name_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"gone\.nii does not exist"):
        read_volume(tmp_path / "gone.nii")
    (tmp_path / "case.png").write_bytes(b"x")
    with pytest.raises(InputError, match="convert it to NIfTI"):
        read_volume(tmp_path / "case.png")


def test_an_oversized_image_is_refused_before_it_is_decoded(tmp_path):
    header = nib.Nifti1Header()
    header.set_data_shape((2000, 2000, 2000))
    header.set_data_dtype(np.int16)
    header.set_sform(affine_of(), 1)
    with open(tmp_path / "case.nii", "wb") as file:
        header.write_to(file)
        file.write(b"\0" * 4000)
    with pytest.raises(InputError, match="crop or resample"):
        read_volume(tmp_path / "case.nii")
