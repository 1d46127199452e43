"""The CT of a PET, a file or a DICOM series: on the PET's voxels in world coordinates, whatever the orientations."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.ct_series import write_ct
from tests.helpers.dicom_patients import Patient, rewrite, write_patient
from wslpet.core.errors import InputError
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.io.folders import Tree
from wslpet.server.series import ct
from wslpet.server.series.ct import AIR_HU, FusedCt, resampled
from wslpet.server.series.datastore import SeriesDatastore
from wslpet.server.series.sources.folder import DicomFolder
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


# How a PET series is stored, and its CT: voxel to world, around the same patient.
CTS = {
    "head_first": np.diag([-2.0, -2.0, 3.0, 1.0]),
    "feet_first_upward": np.array([[0, 0, 3.0, 0], [2.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0, 1]]),
    "off_origin": np.diag([2.0, 2.5, -4.0, 1.0]),
}


def beside_pet(
    patient: Patient, affine: np.ndarray, folder: Path, name: str, description: str = "CT AC", **header: object
) -> list[Path]:
    """Write a CT over the middle of a PET, with bone where the PET has its tumour, off the centre."""
    shape = (100, 100, 100)
    affine = affine.copy()
    affine[:3, 3] = patient.scan.centre - affine[:3, :3] @ (62, 41, 55)
    volume = Volume(np.zeros(shape, np.float32), affine, "HU", "ct")
    world = volume.to_world(np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3)).reshape(*shape, 3)
    bone = np.linalg.norm(world - patient.scan.centre, axis=-1) < 20
    return write_ct(volume.with_array(np.where(bone, 1000, 0).astype(np.float32)), folder, name, description, **header)


@pytest.fixture(params=list(CTS))
def patient(request: pytest.FixtureRequest, tmp_path: Path) -> Patient:
    """A PET series and its CT in one folder of studies."""
    found = write_patient(tmp_path, "anna", request.param)
    shutil.rmtree(tmp_path / "nifti")
    beside_pet(found, CTS[request.param], tmp_path / "dicom" / "anna_ct", "anna")
    return found


def opened(studies: Path) -> SeriesDatastore:
    return SeriesDatastore(str(studies), Settings(), DicomFolder(studies))


def assert_bone_in_tumour(store: SeriesDatastore, patient: Patient) -> None:
    values, grid = FusedCt(store).array(patient.uid), store.volume(patient.uid).to_ras()
    assert values.shape == grid.shape
    world = grid.to_world(np.argwhere(values > 400))
    np.testing.assert_allclose(world.mean(axis=0), patient.scan.centre, atol=2.5)
    assert len(world) * grid.voxel_ml == pytest.approx(4 / 3 * np.pi * 2**3, rel=0.25)


def test_the_ct_of_a_dicom_study_lies_where_its_pet_does(patient: Patient, tmp_path: Path) -> None:
    store = opened(tmp_path / "dicom")
    assert FusedCt(store).has(patient.uid)
    assert_bone_in_tumour(store, patient)


def test_it_is_resampled_once_also_after_a_restart(patient: Patient, tmp_path: Path, monkeypatch) -> None:
    assert_bone_in_tumour(opened(tmp_path / "dicom"), patient)
    monkeypatch.setattr(ct, "resampled", None)
    monkeypatch.setattr(ct, "read_ct", None)
    assert_bone_in_tumour(opened(tmp_path / "dicom"), patient)


def test_a_ct_of_another_frame_of_reference_is_not_shown(tmp_path: Path) -> None:
    patient = write_patient(tmp_path, "anna")
    files = beside_pet(patient, CTS["head_first"], tmp_path / "dicom" / "anna_ct", "anna")
    rewrite(files, FrameOfReferenceUID="1.2.3")
    store = opened(tmp_path / "dicom")
    assert not FusedCt(store).has(patient.uid)
    with pytest.raises(InputError, match="has no CT"):
        FusedCt(store).array(patient.uid)


def test_of_several_cts_the_one_that_covers_most_is_shown(tmp_path: Path) -> None:
    patient = write_patient(tmp_path, "anna")
    beside_pet(patient, CTS["head_first"], tmp_path / "dicom" / "whole", "anna")
    lung = beside_pet(patient, CTS["head_first"], tmp_path / "dicom" / "lung", "anna", "CT lung")
    scout = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    beside_pet(patient, CTS["head_first"], tmp_path / "dicom" / "scout", "anna", "Scout", ImageType=scout)
    for file in lung[30:]:
        file.unlink()
    store = opened(tmp_path / "dicom")
    frame = str(store.header(patient.uid).FrameOfReferenceUID)
    found = store.source.ct(store.facts(patient.uid)["StudyInstanceUID"], frame)
    assert found is not None and found.facts["SeriesDescription"] == "CT AC"
    assert_bone_in_tumour(store, patient)
