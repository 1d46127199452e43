"""Tables of the cohort and files of one patient, from a server on DICOM series and image files."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
import requests
from nibabel.affines import apply_affine

import wslpet
from tests.helpers.app_server import Server
from tests.helpers.dicom_patients import write_patient
from tests.helpers.synthetic import RADII, TUMOUR, write_scan
from wslpet.core.seeds import Seed, annotation_of
from wslpet.io.cache.disk_cache import DiskCache
from wslpet.io.dicom.derived.rtstruct import read_rtstruct
from wslpet.io.dicom.series import read_series
from wslpet.io.readers import read_volume
from wslpet.server.page.tables.burden import _MEASURING, content_digest

NODE = np.array([-75.0, 30.0, 190.0]) - TUMOUR["lung"]
PACS_NAME = "=1+1"


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """A series and a file with two lesions each, a file that waits, and one that is damaged."""
    studies = tmp_path_factory.mktemp("studies")
    patient = write_patient(tmp_path_factory.mktemp("elsewhere"), "dicom", "oblique", description=PACS_NAME)
    shutil.copytree(patient.files[0].parent, studies / "series")
    scan = two_lesions(studies, "Jörg", "anisotropic")
    write_scan(studies, "waiting")
    (studies / "broken.nii.gz").write_bytes(b"no scan")
    annotations = {patient.uid: annotation_of(Seed("lung", tuple(patient.scan.centre), user="Ann"))}
    annotations["Jörg"] = annotation_of([Seed("lung", tuple(scan.centre)), Seed("lung", tuple(scan.centre + NODE))])
    annotations["broken"] = annotation_of(Seed("lung", (0.0, 0.0, 0.0)))
    log = studies / ".wslpet" / "seeds.jsonl"
    log.parent.mkdir()
    lines = [json.dumps({"image": image, **said.to_dict()}) for image, said in annotations.items()]
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return studies, patient, scan


def two_lesions(folder, name, orientation):
    """The lung tumour, and its like 80 mm higher."""
    scan = write_scan(folder, name, orientation)
    image = nib.load(scan.path)
    array = image.get_fdata()
    places = apply_affine(image.affine, np.stack(np.meshgrid(*map(np.arange, array.shape), indexing="ij"), axis=-1))
    array[(((places - scan.centre - NODE) / RADII) ** 2).sum(axis=-1) <= 0.5] = 9.0
    nib.save(nib.Nifti1Image(array.astype(np.float32), image.affine), scan.path)
    return scan


@pytest.fixture(scope="module")
def server(studies, tmp_path_factory):
    server = Server(studies[0], tmp_path_factory.mktemp("scratch")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ask(server):
    def ask(path, status=200, **params):
        answer = requests.get(f"{server.url}/wslpet/api/{path}", params=params, timeout=120)
        assert answer.status_code == status, answer.text
        return answer

    return ask


def rows(answer):
    text = answer.content.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_one_row_for_each_lesion_of_the_cohort(ask, studies):
    _, patient, scan = studies
    answer = ask("lesions.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.content.startswith(b"\xef\xbb\xbf"), "Excel must see that Jörg is UTF-8"
    found = rows(answer)
    assert [(row["image"], row["lesion"]) for row in found] == [(patient.uid, "1"), ("Jörg", "1"), ("Jörg", "2")]
    of_series, primary, node = found
    assert (of_series["PatientID"], of_series["SeriesInstanceUID"]) == ("dicom", patient.uid)
    assert of_series["SeriesDescription"] == f"'{PACS_NAME}"
    assert of_series["StudyDate"] == "20260105"
    # A woman of 72.5 kg and 1.74 m: BMI 23.9464; 9270 · 72.5 / (8780 + 244 · 23.9464) = 45.9608 kg lean.
    assert float(of_series["sul_max"]) == pytest.approx(float(of_series["suv_max"]) * 45.9608 / 72.5, rel=1e-4)
    assert (primary["PatientID"], primary["sul_max"], primary["contour"]) == ("", "", "ours")
    for row, centre in ((of_series, patient.scan.centre), (primary, scan.centre), (node, scan.centre + NODE)):
        assert (
            np.linalg.norm([float(row[name]) - c for name, c in zip(("x_mm", "y_mm", "z_mm"), centre, strict=True)]) < 6
        )


def test_one_row_for_each_patient_of_the_cohort(ask, studies):
    _, patient, _ = studies
    found = {row["image"]: row for row in rows(ask("patients.csv"))}
    assert set(found) == {patient.uid, "Jörg", "waiting", "broken"}
    assert {image: row["state"] for image, row in found.items()} == {
        patient.uid: "measured",
        "Jörg": "measured",
        "waiting": "not annotated",
        "broken": "failed",
    }
    assert (found["waiting"]["lesions"], found["waiting"]["mtv_ml"]) == ("", "")
    assert "broken.nii.gz" in found["broken"]["reason"]
    assert (found[patient.uid]["lesions"], found[patient.uid]["dmax_mm"]) == ("1", "0")
    assert float(found["Jörg"]["dmax_mm"]) == pytest.approx(80, abs=4)
    assert found["Jörg"]["sdmax_per_m"] == ""
    lesions = [row for row in rows(ask("lesions.csv")) if row["image"] == "Jörg"]
    assert float(found["Jörg"]["mtv_ml"]) == pytest.approx(sum(float(r["volume_ml"]) for r in lesions), rel=1e-5)


@pytest.fixture(scope="module")
def grid(studies, tmp_path_factory):
    _, patient, _ = studies
    return read_series(patient.files[0].parent)


def exported(ask, image, form):
    return ask(f"images/{image}/export", form=form)


def test_the_lesions_of_a_series_as_dicom(ask, studies, grid, tmp_path):
    _, patient, _ = studies
    (row,) = rows(exported(ask, patient.uid, "csv"))
    for form in ("seg", "rtstruct", "sr"):
        answer = exported(ask, patient.uid, form)
        assert answer.headers["content-type"] == "application/dicom"
        assert answer.headers["content-disposition"].endswith(f"{patient.uid}-{form}.dcm")
        (tmp_path / form).write_bytes(answer.content)
        assert exported(ask, patient.uid, form).content == answer.content
    mask = nib.load(io_file(exported(ask, patient.uid, "nifti"), tmp_path / "mask.nii.gz"))
    positions = in_order(apply_affine(mask.affine, np.argwhere(mask.get_fdata() == 1)))
    assert len(positions) == int(row["voxels"])
    drawn = read_rtstruct(tmp_path / "rtstruct", grid)["lung 1"]
    np.testing.assert_allclose(in_order(drawn.to_world(np.argwhere(drawn.array))), positions, atol=0.01)
    segmentation = highdicom.seg.segread(tmp_path / "seg")
    assert segmentation.pixel_array.sum() == int(row["voxels"])
    assert segmentation.PatientID == "dicom"
    assert segmentation.ContentCreatorName == "Ann"
    (group,) = highdicom.sr.srread(tmp_path / "sr").content.get_volumetric_roi_measurement_groups()
    said = {(m.name.value, m.derivation and m.derivation.meaning): m.value for m in group.get_measurements()}
    assert said["126401", "Maximum"] == float(row["suv_max"])
    assert said["126032", None] == float(row["volume_ml"])
    assert group.referenced_segment.referenced_sop_instance_uid == segmentation.SOPInstanceUID
    assert pydicom.dcmread(tmp_path / "sr").StudyInstanceUID == grid.header.StudyInstanceUID


def io_file(answer, path):
    path.write_bytes(answer.content)
    return path


def in_order(points):
    return points[np.lexsort(points.round(2).T)]


def test_the_lesions_of_a_file_as_nifti_and_no_dicom(ask, studies, tmp_path):
    _, _, scan = studies
    mask = nib.load(io_file(exported(ask, "J%C3%B6rg", "nifti"), tmp_path / "mask.nii.gz"))
    np.testing.assert_allclose(mask.affine, scan.affine, atol=1e-4)
    assert set(np.unique(mask.get_fdata())) == {0, 1, 2}
    for number, centre in ((1, scan.centre), (2, scan.centre + NODE)):
        middle = apply_affine(mask.affine, np.argwhere(mask.get_fdata() == number)).mean(axis=0)
        assert np.linalg.norm(middle - centre) < 6
    answer = ask("images/J%C3%B6rg/export", 400, form="sr")
    assert "no DICOM series" in answer.json()["detail"]
    assert "nifti or csv" in answer.json()["detail"]


def test_an_export_that_is_not_possible_is_refused_with_the_reason(ask):
    assert "has no annotation" in ask("images/waiting/export", 400, form="csv").json()["detail"]
    assert ask("images/nobody/export", 404, form="csv").json()["detail"]
    assert ask("images/broken/export", 400, form="nifti").json()["detail"]
    assert ask("images/waiting/export", 422, form="pdf").json()["detail"]


def test_measures_are_cached_until_the_annotation_changes(studies, server, ask):
    folder, patient, _ = studies
    before = rows(exported(ask, patient.uid, "csv"))
    index = DiskCache(folder / ".wslpet" / "burden", 1 << 20)
    kept = len(index)
    assert rows(exported(ask, patient.uid, "csv")) == before
    ask("lesions.csv")
    ask("patients.csv")
    assert len(index) == max(kept, 2)
    click = np.rint(apply_affine(np.linalg.inv(read_volume(patient.scan.path).affine), patient.scan.centre))
    assert server.click(patient.uid, "lung", [int(n) + 1 for n in click]).status_code == 200
    (after,) = rows(exported(ask, patient.uid, "csv"))
    assert after["time"] > before[0]["time"]
    assert after["user"] == "tester"


def test_the_digest_of_code_changes_with_its_files_and_their_places(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("a.py", "deep/b.py"):
        (tmp_path / name).write_text("x = 1\n")
    first = content_digest([tmp_path])
    (tmp_path / "notes.txt").write_text("no code")
    assert content_digest([tmp_path]) == first
    (tmp_path / "deep" / "b.py").write_text("x = 2\n")
    second = content_digest([tmp_path])
    (tmp_path / "deep" / "b.py").rename(tmp_path / "b.py")
    assert len({first, second, content_digest([tmp_path])}) == 3


def test_the_cache_key_includes_the_code_of_the_package():
    package = Path(wslpet.__file__).parent
    files = [file for layer in _MEASURING for file in (package / layer).rglob("*.py")]
    assert package / "method" / "delineation" / "contours.py" in files
    assert package / "analysis" / "uptake.py" in files
