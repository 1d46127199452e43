from dataclasses import replace

import numpy as np
import pytest

import wslpet.study.design.patients
from tests.helpers.blobs import STORAGES, dice, ellipsoid, empty, scan, stored_as
from tests.helpers.study_cohort import write_study_cohort
from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR, Seed
from wslpet.core.settings import settings_from
from wslpet.data.cohort_table import read_table
from wslpet.study.design.patients import Grid, kept_patient

SETTINGS = settings_from()


@pytest.fixture
def rows(tmp_path):
    return read_table(write_study_cohort(tmp_path / "cohort", 2), SETTINGS.types)[0]


@pytest.mark.parametrize("spacing", [(4.0, 4.0, 4.0), (2.5, 4.1, 6.0), (5.3, 5.3, 2.0)])
@pytest.mark.parametrize("storage", STORAGES[5::16])
def test_the_grid_goes_there_and_back(spacing, storage):
    volume = empty((40, 34, 46), spacing, (-210.0, 77.0, 401.0))
    centre = volume.to_world(np.array([12.0, 21.0, 30.0]))
    hot, inside = scan(volume, [(centre, (20, 22, 24), 10.0)]), ellipsoid(volume, centre, (20, 22, 24))
    ras = stored_as(hot, *storage).to_ras()
    truth = stored_as(volume.with_array(inside.astype(np.uint8), "label"), *storage).to_ras().array > 0
    grid = Grid.from_volume(ras, truth)
    assert dice(grid.to_volume(grid.truth.astype(np.float32), ras) >= 0.5, truth) > 0.9
    assert dice(grid.to_volume(grid.suv, ras) > 5, ras.array > 5) > 0.9


def test_the_grid_is_cropped_to_the_body():
    volume = empty((60, 60, 60), (4.0, 4.0, 4.0))
    array = np.zeros(volume.shape, np.float32)
    array[20:30, 12:22, 40:50] = 5.0
    grid = Grid.from_volume(volume.with_array(array), array > 0)
    assert grid.suv.shape == (18, 18, 18)
    assert grid.origin == (16, 8, 36)
    np.testing.assert_allclose(grid.to_volume(grid.suv, volume), array, atol=1e-3)


def test_a_patient_is_read_once(rows, tmp_path, monkeypatch):
    first = kept_patient(rows[0], tmp_path / "cache", SETTINGS)
    monkeypatch.setattr(wslpet.study.design.patients, "read_volume", None)
    again = kept_patient(rows[0], tmp_path / "cache", SETTINGS)
    assert again.kept == first.kept
    assert again.example().cancer_type == "lung"
    assert again.grid().truth.any()


def test_what_is_kept_is_of_this_seed(rows, tmp_path):
    moved = replace(rows[0], seed=Seed("lung", tuple(np.array(rows[0].seed.position) + 2.0)))
    first, second = (kept_patient(row, tmp_path / "cache", SETTINGS) for row in (rows[0], moved))
    assert first.kept != second.kept
    assert first.example().points != second.example().points


def test_a_mask_on_another_grid_is_brought_over(rows, tmp_path):
    import nibabel as nib

    from wslpet.io.masks import read_mask, write_mask
    from wslpet.io.readers import read_volume

    mask = read_mask(rows[0].mask)
    found = np.argwhere(mask.array > 0)
    window = tuple(slice(a - 2, b + 3) for a, b in zip(found.min(axis=0), found.max(axis=0), strict=True))
    write_mask(mask.cropped(window), tmp_path / "cropped.nii.gz")
    assert nib.load(tmp_path / "cropped.nii.gz").shape != mask.shape
    patient = kept_patient(replace(rows[0], mask=tmp_path / "cropped.nii.gz"), tmp_path / "cache", SETTINGS)
    np.testing.assert_array_equal(patient.truth(read_volume(rows[0].scan)), mask.array > 0)


def test_refusals_say_what_to_do(rows, tmp_path):
    from wslpet.io.masks import read_mask, write_mask

    empty_mask = read_mask(rows[0].mask)
    write_mask(empty_mask.with_array(np.zeros_like(empty_mask.array)), tmp_path / "empty.nii.gz")
    cases = {
        "outline": replace(rows[0], mask=None),
        "does not exist": replace(rows[0], mask=tmp_path / "gone.nii.gz"),
        "nothing on the scan": replace(rows[0], mask=tmp_path / "empty.nii.gz"),
        "no part in a study": replace(rows[0], seed=Seed(NO_TUMOUR, (0, 0, 0))),
    }
    for said, row in cases.items():
        with pytest.raises(InputError, match=said):
            kept_patient(row, tmp_path / "cache", SETTINGS)
