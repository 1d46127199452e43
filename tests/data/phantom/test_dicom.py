from __future__ import annotations

import csv
from dataclasses import replace
from datetime import datetime, timedelta

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from wslpet.cli import main
from wslpet.data.cohort_table import read_table
from wslpet.data.phantom import PRESETS, CohortSettings, Examination, PhantomError, Scanner, write_cohort, write_series
from wslpet.io.masks import read_mask
from wslpet.io.readers import read_volume
from wslpet.core.volume import Volume
from tests.helpers.blobs import STORAGES, affine_of, stored_as

COARSE = CohortSettings(scanners=((Scanner("coarse", (9.0, 9.0, 8.0)), 1.0),), fields=(("thorax", 1.0),))


def original(tilt: float = 9.0) -> Volume:
    array = np.random.default_rng(2).gamma(0.7, 2.0, (5, 6, 7)).astype(np.float32)
    array[:, :, 3] = 0  # an empty slice has a slope, too
    array[3, 1, 5] = 40
    return Volume(array, affine_of((2.5, 3.125, 4.07), (-20.3, 31.77, 410.9), tilt), "SUV", "phantom")


def as_itk_reads_it(files) -> Volume:
    """Bq/ml by a reader that shares nothing with ours."""
    by_position = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(files[0].parent))
    image = sitk.ReadImage(list(by_position), sitk.sitkFloat64)
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Volume(sitk.GetArrayFromImage(image).T, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine, "Bq/ml", "itk")


def headers(files) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(file) for file in files]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(("permutation", "flips"), STORAGES[::5])
def test_every_value_lies_where_it_was_in_the_world(tmp_path, permutation, flips, descending):
    stored = stored_as(original(), permutation, flips)
    examination = Examination()
    files = write_series(stored, tmp_path, "someone", examination, descending=descending)
    assert len(files) == stored.shape[2]
    read, expected = as_itk_reads_it(files).to_ras(), stored.to_ras()
    assert np.allclose(read.affine, expected.affine, atol=1e-6)
    highest = stored.array.max(axis=(0, 1)).max() / 32767
    assert np.allclose(read.array / examination.activity_per_suv(), expected.array, atol=0.51 * highest)


@pytest.mark.parametrize(("signed", "kind"), [(True, 1), (False, 0)])
def test_each_slice_uses_the_range_of_its_pixels(tmp_path, signed, kind):
    volume = original()
    slopes = []
    for k, header in enumerate(headers(write_series(volume, tmp_path, "someone", signed=signed))):
        assert header.PixelRepresentation == kind
        slopes.append(float(header.RescaleSlope))
        if volume.array[:, :, k].any():
            assert 0.99 * (32767 if signed else 65535) < header.pixel_array.max() <= (32767 if signed else 65535)
    assert len(set(slopes)) == len(slopes)


def test_activity_is_what_suv_means(tmp_path):
    # 2 half-lives after 400 MBq in 80 kg: 100 MBq are left, 1250 Bq in each gram.
    injected = datetime(2026, 3, 1, 23, 30)
    examination = Examination(80.0, dose_bq=4e8, injected=injected, scanned=injected + timedelta(seconds=2 * 6586.2))
    assert examination.activity_per_suv() == pytest.approx(1250.0)
    header = headers(write_series(original(), tmp_path, "someone", examination))[5]
    assert header.pixel_array[1, 3] * header.RescaleSlope == pytest.approx(40 * 1250.0, rel=1e-4)


def test_the_header_says_what_suv_needs(tmp_path):
    header = headers(write_series(original(), tmp_path, "someone"))[0]
    (tracer,) = header.RadiopharmaceuticalInformationSequence
    assert (header.Modality, header.Units, header.DecayCorrection) == ("PT", "BQML", "START")
    assert {"ATTN", "DECY"} <= set(header.CorrectedImage)
    assert (float(header.PatientWeight), float(tracer.RadionuclideTotalDose)) == (72.5, 3.1e8)
    assert tracer.RadiopharmaceuticalStartDateTime.startswith("20260105100230")
    assert (header.SeriesDate, header.SeriesTime[:6]) == ("20260105", "110415")
    assert float(tracer.RadionuclideHalfLife) == 6586.2


def test_uids_follow_from_the_patient_and_the_series(tmp_path):
    corrected = Examination()
    raw = replace(corrected, description="PET WB NAC", corrected=False)
    first, again, other, nac = (
        headers(write_series(original(), tmp_path / name, patient, examination))
        for name, patient, examination in [
            ("a", "one", corrected), ("b", "one", corrected), ("c", "two", corrected), ("d", "one", raw),
        ]
    )  # fmt: skip
    assert [h.SOPInstanceUID for h in first] == [h.SOPInstanceUID for h in again]
    assert len({h.SOPInstanceUID for h in [*first, *other, *nac]}) == 3 * len(first)
    assert first[0].StudyInstanceUID == nac[0].StudyInstanceUID != other[0].StudyInstanceUID
    assert first[0].FrameOfReferenceUID == nac[0].FrameOfReferenceUID != other[0].FrameOfReferenceUID
    assert first[0].SeriesInstanceUID != nac[0].SeriesInstanceUID
    assert "ATTN" not in nac[0].CorrectedImage


@pytest.mark.parametrize("descending", [False, True])
def test_instances_are_numbered_along_the_slices_or_against_them(tmp_path, descending):
    numbers = [h.InstanceNumber for h in headers(write_series(original(), tmp_path, "x", descending=descending))]
    assert numbers == sorted(range(1, 8), reverse=descending)


@pytest.mark.parametrize(("position", "gantry"), [("HFS", "headfirst"), ("FFP", "feet-first")])
def test_the_patient_position_is_coded_too(tmp_path, position, gantry):
    header = headers(write_series(original(), tmp_path, "x", Examination(position=position)))[0]
    assert header.PatientPosition == position
    assert header.PatientGantryRelationshipCodeSequence[0].CodeMeaning == gantry


def test_values_that_dicom_cannot_store_are_refused(tmp_path):
    volume = original()
    sheared = volume.affine.copy()
    sheared[1, 2] += 0.5
    with pytest.raises(PhantomError, match="not perpendicular"):
        write_series(Volume(volume.array, sheared), tmp_path, "x")
    with pytest.raises(PhantomError, match="without sign"):
        write_series(volume.with_array(volume.array - 1), tmp_path, "x", signed=False)
    with pytest.raises(PhantomError, match="'HFX'"):
        write_series(volume, tmp_path, "x", Examination(position="HFX"))


def test_a_cohort_in_dicom_is_the_cohort_in_nifti(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "coarse", COARSE)
    as_dicom = [
        "phantom",
        str(tmp_path / "dicom"),
        "--patients",
        "3",
        "--preset",
        "coarse",
        "--workers",
        "1",
        "--dicom",
    ]
    assert main.main(as_dicom) == 0
    rows = write_cohort(tmp_path / "nifti", 3, 0, COARSE)
    for index, row in enumerate(rows):
        files = sorted((tmp_path / "dicom" / row["name"]).iterdir())
        read = as_itk_reads_it(files).to_ras()
        image = nib.load(tmp_path / "nifti" / f"{row['name']}.nii.gz")
        expected = Volume(image.get_fdata(), image.affine).to_ras()
        assert np.allclose(read.affine, expected.affine, atol=1e-3)
        body = headers(files)[0]
        suv = read.array / Examination(weight_kg=float(body.PatientWeight)).activity_per_suv()
        assert np.allclose(suv, expected.array, atol=2e-3 * expected.array.max())
        assert body.PatientSex in ("F", "M")
        assert 15 < float(body.PatientWeight) / float(body.PatientSize) ** 2 < 45
        assert {h.PatientPosition for h in headers(files)} == {("HFS", "FFS")[index // 2]}
    with open(tmp_path / "dicom-truth" / "cohort.csv") as file:
        told = list(csv.DictReader(file))
    assert [row["scan"] for row in told] == [f"../dicom/{row['name']}" for row in rows]
    found, problems = read_table(tmp_path / "dicom-truth" / "cohort.csv", ("lung", "oesophagus"))
    assert len(found) == 3 and not problems
    for row, one in zip(rows, found, strict=True):
        volume, truth = read_volume(one.scan).to_ras(), read_mask(tmp_path / "dicom-truth" / row["mask"]).to_ras()
        assert np.allclose(volume.affine, truth.affine, atol=1e-3)
        assert volume.array[truth.array > 0].max() == pytest.approx(row["suv_max"], rel=1e-3)
    assert (tmp_path / "dicom-truth" / told[0]["mask"]).exists()
