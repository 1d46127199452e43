"""`wslpet burden`: tables of a folder, by a server's log, a cohort's table, or the network."""

from __future__ import annotations

import csv
import io
import json
import shutil

import highdicom
import nibabel as nib
import numpy as np
import pytest

from tests.helpers.dicom_patients import write_patient
from tests.helpers.dicom_series import real_data
from tests.helpers.synthetic import write_scan
from wslpet.analysis.uptake import central_voxel
from wslpet.cli import main
from wslpet.core.seeds import Seed, annotation_of
from wslpet.core.settings import settings_from
from wslpet.core.volume import Volume
from wslpet.io.masks import write_mask
from wslpet.io.tables import parse_table
from wslpet.method.network.checkpoint import Model, new_network, save_model


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    settings = settings_from(widths=(8,) * 8)
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    save_model(Model(new_network(settings).eval(), settings), path)
    return path


@pytest.fixture
def studies(tmp_path):
    """Served before: a clicked series, a file with a submitted mask, one that nobody annotated, and a damaged one."""
    studies = tmp_path / "studies"
    patient = write_patient(tmp_path / "elsewhere", "P7", "oblique")
    shutil.copytree(patient.files[0].parent, studies / "ward" / "series")
    drawn = write_scan(studies, "drawn", "anisotropic")
    write_scan(studies, "waiting", cancer_type="oesophagus")
    (studies / "broken.nii.gz").write_bytes(b"no scan")
    mask = Volume(drawn.truth().astype(np.uint8), drawn.affine, "label", "drawn")
    (studies / "labels" / "final").mkdir(parents=True)
    write_mask(mask, studies / "labels" / "final" / "drawn.nii.gz")
    middle = mask.to_world(central_voxel(mask.array > 0, mask.spacing))
    said = {
        patient.uid: annotation_of(Seed("lung", tuple(patient.scan.centre), user="Ann", time="2026-11-27T10:00:00Z")),
        "drawn": annotation_of(Seed("melanoma", tuple(middle), user="Eve")),
        "broken": annotation_of(Seed("lung", (0.0, 0.0, 0.0))),
    }
    (studies / ".wslpet").mkdir()
    lines = [json.dumps({"image": image, **one.to_dict()}) for image, one in said.items()]
    (studies / ".wslpet" / "seeds.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return studies, patient, drawn


def run(capsys, *arguments):
    code = main.main(["burden", *map(str, arguments), "--workers", "1"])
    said = capsys.readouterr()
    return code, said.out, said.err


def rows(path):
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


def test_annotations_count_and_the_network_finds_the_rest(studies, weights, capsys, tmp_path):
    folder, patient, drawn = studies
    code, said, errors = run(capsys, folder, "--model", weights, "--out", tmp_path / "out")
    assert code == 2, "one scan is damaged"
    assert "1 of 4 scans have no annotation; their lesions are found by the model" in said
    assert "broken: " in errors
    patients = {row["image"]: row for row in rows(tmp_path / "out" / "patients.csv")}
    assert set(patients) == {"broken", "drawn", "waiting", "ward/series"}
    series, found = patients["ward/series"], patients["waiting"]
    assert (patients["broken"]["state"], patients["broken"]["lesions"]) == ("failed", "")
    assert "broken.nii.gz" in patients["broken"]["reason"]
    assert (series["PatientID"], series["SeriesInstanceUID"]) == ("P7", patient.uid)
    assert (series["source"], series["user"], series["contour"]) == ("annotation", "Ann", "ours")
    assert series["sul_max"]
    assert (patients["drawn"]["contour"], patients["drawn"]["cancer_type"]) == ("label", "melanoma")
    assert (found["source"], found["state"]) == ("model", "measured")
    lesions = {row["image"]: row for row in rows(tmp_path / "out" / "lesions.csv")}
    assert lesions["drawn"]["voxels"] == str(int(drawn.truth().sum()))
    place = np.array([float(lesions["ward/series"][name]) for name in ("x_mm", "y_mm", "z_mm")])
    assert np.linalg.norm(place - patient.scan.centre) < 6
    assert lesions["waiting"]["user"].startswith("model ")


def test_annotated_scans_only(studies, capsys, tmp_path):
    folder, _, _ = studies
    (folder / "broken.nii.gz").unlink()
    code, _, _ = run(capsys, folder, "--annotated", "--out", tmp_path)
    assert code == 0
    patients = {row["image"]: row for row in rows(tmp_path / "patients.csv")}
    assert (patients["waiting"]["state"], patients["waiting"]["mtv_ml"]) == ("not annotated", "")
    english = rows(tmp_path / "lesions.csv")
    assert {row["image"] for row in english} == {"drawn", "ward/series"}
    assert run(capsys, folder, "--annotated", "--out", tmp_path, "--decimal-comma")[0] == 0
    table = parse_table((tmp_path / "lesions.csv").read_bytes(), "lesions.csv", ("image",), ())
    assert table.separator == ";"
    for (_, row), other in zip(table.rows, english, strict=True):
        assert "," in row["suv_max"] and table.number(row["suv_max"]) == float(other["suv_max"])


def test_lesions_of_series_are_exported(studies, capsys, tmp_path):
    folder, patient, _ = studies
    forms = ("--export", "nifti", "seg", "rtstruct", "sr")
    code, _, errors = run(capsys, folder, "--annotated", "--out", tmp_path / "out", *forms)
    assert code == 2
    assert "broken is a file, no DICOM series" in errors
    for file in folder.glob("*.nii.gz"):
        file.unlink()
    assert run(capsys, folder, "--out", tmp_path / "out", *forms)[0] == 0
    (row,) = rows(tmp_path / "out" / "lesions.csv")
    made = tmp_path / "out" / "ward"
    assert int((nib.load(made / "series-lesions.nii.gz").get_fdata() == 1).sum()) == int(row["voxels"])
    assert highdicom.seg.segread(made / "series-seg.dcm").pixel_array.sum() == int(row["voxels"])
    (group,) = highdicom.sr.srread(made / "series-sr.dcm").content.get_volumetric_roi_measurement_groups()
    assert float(row["volume_ml"]) in [measured.value for measured in group.get_measurements()]
    assert (made / "series-rtstruct.dcm").exists()
    assert str(patient.uid) == row["SeriesInstanceUID"]


def test_a_cohort_s_table_says_where_the_lesions_are(capsys, tmp_path):
    scan = write_scan(tmp_path, "one", "lps", "oesophagus")
    write_mask(Volume(scan.truth().astype(np.uint8), scan.affine, "label"), tmp_path / "one-mask.nii.gz")
    x, y, z = scan.centre
    (tmp_path / "cohort.csv").write_text(
        f"name,scan,cancer_type,x,y,z,mask\npatient,one.nii.gz,oesophagus,{x},{y},{z},one-mask.nii.gz\n"
    )
    assert run(capsys, tmp_path, "--out", tmp_path / "out")[0] == 0
    (row,) = rows(tmp_path / "out" / "lesions.csv")
    assert (row["image"], row["cancer_type"], row["contour"]) == ("one", "oesophagus", "label")
    assert (row["user"], row["time"]) == ("", ""), "a table does not say who and when"
    assert row["voxels"] == str(int(scan.truth().sum()))


def test_a_real_sarcoma_by_its_rtstruct(capsys, tmp_path):
    folder, table = real_data("sts_001_ge_pet"), tmp_path / "cohort.csv"
    imported = ("import", "dicom", folder, "--out", table, "--type", "sarcoma", "--roi", "GTV_Mass")
    assert main.main(list(map(str, imported))) == 0
    assert run(capsys, table, "--out", tmp_path, "--export", "sr")[0] == 0
    (row,) = rows(tmp_path / "lesions.csv")
    assert (row["PatientID"], row["voxels"], row["contour"]) == ("STS_001", "5095", "label")
    assert (float(row["suv_max"]), float(row["suv_mean"])) == pytest.approx((7.9107, 2.555), abs=5e-4)
    (report,) = tmp_path.glob("*-sr.dcm")
    (group,) = highdicom.sr.srread(report).content.get_volumetric_roi_measurement_groups()
    said = [measured.value for measured in group.get_measurements()]
    assert {float(row["suv_max"]), float(row["suv_mean"]), float(row["volume_ml"])} <= set(said)


def test_a_folder_without_scans_is_refused(capsys, tmp_path):
    code, _, errors = run(capsys, tmp_path / "nowhere")
    assert (code, "is neither a folder of scans nor" in errors) == (2, True)
    code, _, errors = run(capsys, tmp_path)
    assert (code, "holds no scan" in errors) == (2, True)
