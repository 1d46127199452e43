"""DICOM series on a PACS, through a real server and a real Orthanc."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
import requests
from nibabel.affines import apply_affine

from tests.helpers.app_server import Server
from tests.helpers.dicom_patients import STORED, Patient, rewrite, write_patient
from tests.helpers.needs import needs_pacs
from tests.helpers.pacs_server import info_of, listed, serve
from wslpet.cli.demo.orthanc import Orthanc

pytestmark = needs_pacs
TYPES = ("lung", "oesophagus")
VOXEL_MM = 9.0


@dataclass(frozen=True)
class Hospital:
    pacs: Orthanc
    server: Server
    patients: dict[str, Patient]
    hidden: dict[str, str]
    cache: Path


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> Iterator[Hospital]:
    """One patient for each way to store a series, some without a part of it, four to learn from, one without weight."""
    folder = tmp_path_factory.mktemp("hospital")
    patients = {
        name: write_patient(folder, name, name, cancer_type)
        for name, cancer_type in zip(STORED, itertools.cycle(TYPES))
    }
    for n in range(4):
        patients[f"learn{n}"] = write_patient(
            folder, f"learn{n}", "head_first", TYPES[n % 2], (4 * n - 6, 3 * n, 5 * n)
        )
    patients["aa_weightless"] = write_patient(folder, "aa_weightless")
    rewrite(patients["aa_weightless"].files, PatientWeight=None)
    not_corrected = write_patient(folder / "nac", "head_first", description="PET NAC", corrected=False)
    capture = write_patient(folder / "capture", "captured")
    rewrite(capture.files[:1], SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    pacs = Orthanc(folder / "orthanc").start()
    for patient in [*patients.values(), not_corrected]:
        pacs.upload(patient.files)
    pacs.upload(capture.files[:1])
    server = serve(pacs, folder, "cache").start()
    hidden = {"nac": not_corrected.uid, "capture": capture.uid}
    yield Hospital(pacs, server, patients, hidden, folder / "cache")
    server.stop()
    pacs.stop()


def image_of(server: Server, uid: str) -> nib.Nifti1Image:
    """The volume that a viewer downloads."""
    answer = requests.get(f"{server.url}/datastore/image", params={"image": uid}, timeout=60)
    assert answer.ok, answer.text
    path = server.scratch / f"{uid}.nii"
    path.write_bytes(answer.content)
    return nib.load(path)


def submit(server: Server, uid: str, mask: np.ndarray, affine: np.ndarray, params: str) -> requests.Response:
    path = server.scratch / "label.nii.gz"
    nib.save(nib.Nifti1Image(np.asarray(mask, np.uint8), affine), path)
    with open(path, "rb") as file:
        return requests.put(
            f"{server.url}/datastore/label",
            params={"image": uid, "tag": "final"},
            data={"params": params},
            files={"label": ("label.nii.gz", file)},
            timeout=60,
        )


def segmentations(pacs: Orthanc) -> list[dict]:
    return pacs.get("/dicom-web/series", Modality="SEG").json()


def file_of(pacs: Orthanc, series: str) -> bytes:
    """The first file of a series, as the PACS keeps it."""
    for name in pacs.get("/series").json():
        found = pacs.get(f"/series/{name}").json()
        if found["MainDicomTags"]["SeriesInstanceUID"] == series:
            return pacs.get(f"/instances/{found['Instances'][0]}/file").content
    raise AssertionError(f"series {series} is not on the PACS")


def segmented(path: Path) -> np.ndarray:
    """Positions (n, 3) in mm RAS of a SEG's voxels, by highdicom's reading."""
    seg = highdicom.seg.segread(path)
    shared = seg.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    rows, columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    found = []
    for frame, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        corner = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        found += [corner + cosines[0] * columns * c + cosines[1] * rows * r for r, c in np.argwhere(frame)]
    return np.array(found) * (-1, -1, 1)


def test_attenuation_corrected_pet_images_are_listed(hospital):
    assert listed(hospital.server) == {patient.uid for patient in hospital.patients.values()}
    assert not listed(hospital.server) & set(hospital.hidden.values())
    status = hospital.server.info()["datastore"]
    assert status["total"] == len(hospital.patients)
    assert "trouble" not in status


@pytest.mark.parametrize("stored", STORED)
def test_suv_comes_through_within_the_stored_precision(hospital, stored):
    patient = hospital.patients[stored]
    served = image_of(hospital.server, patient.uid)
    truth = patient.volume
    # Voxel by voxel in world coordinates: the server's slices may run the other way.
    index = np.argwhere(np.ones(served.shape, bool))
    there = np.rint(truth.to_index(apply_affine(served.affine, index)))
    assert np.abs(apply_affine(truth.affine, there) - apply_affine(served.affine, index)).max() < 1e-3
    expected = truth.array[tuple(there.astype(int).T)].reshape(served.shape)
    values = np.asarray(served.dataobj)
    # A slice is stored in steps of its maximum / 32767, and a thousandth of room.
    step = expected.max(axis=(0, 1)) * 1.002 / 32767
    assert (np.abs(values - expected).max(axis=(0, 1)) <= step / 2 + 1e-6).all()
    assert values.max() > 10


def test_the_info_keeps_how_suv_was_computed(hospital):
    patient = hospital.patients["head_first"]
    info = info_of(hospital.server, patient.uid)
    header = pydicom.dcmread(patient.files[0])
    assert info["SeriesInstanceUID"] == patient.uid
    assert info["StudyInstanceUID"] == header.StudyInstanceUID
    assert info["PatientID"] == "head_first"
    suv = info["suv"]
    assert (suv["units"], suv["weight_kg"], suv["dose_bq"]) == ("BQML", 72.5, 3.1e8)
    assert (suv["injected"], suv["scanned"]) == ("2026-01-05T10:02:30", "2026-01-05T11:04:15")
    decayed = 3.1e8 * 2 ** (-(61 * 60 + 45) / 6586.2)
    assert suv["factor"] == pytest.approx(72.5 * 1000 / decayed, rel=1e-9)
    assert "seeds" in info


@pytest.mark.parametrize("stored", STORED)
def test_a_click_in_the_viewers_indices_lands_on_the_lesion(hospital, stored):
    patient = hospital.patients[stored]
    served = image_of(hospital.server, patient.uid)
    click = patient.click(served.affine)
    answer = hospital.server.click(patient.uid, patient.scan.cancer_type, click, output="image")
    assert answer.status_code == 200, answer.text
    seed = hospital.server.seeds(patient.uid)[-1]
    assert seed["cancer_type"] == patient.scan.cancer_type
    assert np.linalg.norm(np.array(seed["position"]) - patient.scan.centre) < VOXEL_MM
    path = hospital.server.scratch / "mask.nii.gz"
    path.write_bytes(answer.content)
    mask = nib.load(path)
    np.testing.assert_allclose(mask.affine, served.affine, atol=1e-3)
    found = apply_affine(mask.affine, np.argwhere(np.asarray(mask.dataobj)))
    assert np.linalg.norm(found.mean(axis=0) - patient.scan.centre) < VOXEL_MM


@pytest.mark.parametrize("stored", STORED)
def test_an_answer_as_dicom_seg_lies_on_the_lesion(hospital, stored):
    patient = hospital.patients[stored]
    click = patient.click(image_of(hospital.server, patient.uid).affine)
    answer = hospital.server.click(patient.uid, patient.scan.cancer_type, click, output="dicom_seg")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/dicom"
    path = hospital.server.scratch / "answer.dcm"
    path.write_bytes(answer.content)
    found = segmented(path)
    assert np.linalg.norm(found.mean(axis=0) - patient.scan.centre) < VOXEL_MM / 2
    seg = highdicom.seg.segread(path)
    segment = seg.get_segment_description(1)
    assert segment.SegmentLabel == patient.scan.cancer_type
    assert segment.SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert segment.AnatomicRegionSequence[0].CodeValue in ("39607008", "32849002")
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == patient.uid
    assert list(hospital.server.scratch.glob("wslpet-*")) == []


@pytest.mark.parametrize("stored", ["slices_upward", "feet_first", "oblique"])
def test_a_submitted_label_is_kept_on_the_pacs_and_comes_back(hospital, stored, tmp_path):
    patient = hospital.patients[stored]
    truth = patient.scan.truth()
    params = f'{{"label_info": [{{"name": "{patient.scan.cancer_type}", "idx": 1}}], "client_id": "dr"}}'
    answer = submit(hospital.server, patient.uid, truth, patient.scan.affine, params)
    assert answer.status_code == 200, answer.text
    seed = hospital.server.seeds(patient.uid)[-1]
    assert (seed["cancer_type"], seed["user"]) == (patient.scan.cancer_type, "dr")
    assert np.linalg.norm(np.array(seed["position"]) - patient.scan.centre) < VOXEL_MM

    listed = requests.get(f"{hospital.server.url}/datastore/?output=all", timeout=30).json()["objects"]
    told = listed[patient.uid]["labels"]["final"]["info"]
    stored_seg = [s for s in segmentations(hospital.pacs) if s["0020000E"]["Value"] == [told["SeriesInstanceUID"]]]
    assert stored_seg[0]["0020000D"]["Value"] == [told["StudyInstanceUID"]]
    (tmp_path / "seg.dcm").write_bytes(file_of(hospital.pacs, told["SeriesInstanceUID"]))
    expected = apply_affine(patient.scan.affine, np.argwhere(truth))
    order = lambda positions: positions[np.lexsort(positions.round(1).T)]  # noqa: E731
    np.testing.assert_allclose(order(segmented(tmp_path / "seg.dcm")), order(expected), atol=0.01)


def test_another_server_reads_the_labels_back(hospital, tmp_path):
    submitted = [hospital.patients[name] for name in ("slices_upward", "feet_first", "oblique")]
    for patient in submitted:
        value = TYPES.index(patient.scan.cancer_type) + 1
        # The one that is corrected stays on the PACS; the newest counts.
        for drawn in (np.roll(patient.scan.truth(), 3, axis=0), patient.scan.truth()):
            assert submit(hospital.server, patient.uid, drawn * value, patient.scan.affine, "{}").ok
    server = serve(hospital.pacs, tmp_path, "fresh").start()
    try:
        labelled = requests.get(f"{server.url}/datastore/?output=all", timeout=30).json()["objects"]
        for patient in submitted:
            assert "final" in labelled[patient.uid]["labels"]
            query = {"label": patient.uid, "tag": "final"}
            answer = requests.get(f"{server.url}/datastore/label", params=query, timeout=60)
            assert answer.ok, answer.text
            path = tmp_path / "back.nii.gz"
            path.write_bytes(answer.content)
            label = nib.load(path)
            served = image_of(server, patient.uid)
            assert label.shape == served.shape
            np.testing.assert_allclose(label.affine, served.affine, atol=1e-3)
            found = apply_affine(label.affine, np.argwhere(np.asarray(label.dataobj)))
            assert np.linalg.norm(found.mean(axis=0) - patient.scan.centre) < 1.0
            assert len(found) == patient.scan.truth().sum()
            assert np.asarray(label.dataobj).max() == TYPES.index(patient.scan.cancer_type) + 1
    finally:
        server.stop()


def test_a_refused_series_has_its_reason_and_is_not_sent_as_the_next_sample(hospital):
    patient = hospital.patients["aa_weightless"]
    assert patient.uid in listed(hospital.server)
    assert "Weight" in info_of(hospital.server, patient.uid)["refused"]
    answer = hospital.server.infer("wslpet_seed", patient.uid, {"lung": [[20, 20, 20]]})
    assert answer.status_code == 400
    assert "Patient's Weight (0010,1030) is missing" in answer.json()["detail"]
    for strategy in ("first", "random"):
        for _ in range(4):
            sample = hospital.server.client().next_sample(strategy, {})
            assert sample["id"] != patient.uid
            assert Path(sample["path"]).exists()
    assert hospital.server.seeds(patient.uid) == []


def test_unknown_images_and_names_that_are_paths(hospital):
    for image in ("1.2.3.4", "../../etc/passwd", "1.2/../3", "nobody"):
        answer = hospital.server.infer("wslpet_seed", image, {"lung": [[1, 1, 1]]})
        assert answer.status_code == 404, answer.text


def test_training_learns_from_series(hospital):
    for name, patient in hospital.patients.items():
        if name.startswith("learn"):
            click = patient.click(image_of(hospital.server, patient.uid).affine)
            assert hospital.server.click(patient.uid, patient.scan.cancer_type, click, output="json").ok
    task = hospital.server.train(max_epochs=2, from_scratch=True)
    assert task["status"] == "DONE", task["details"]
    assert hospital.server.info()["train_stats"]["wslpet"]["patients"]["lung"] >= 2
    uid = hospital.patients["learn0"].uid
    assert hospital.server.infer("wslpet", uid, output="json").json()["model_version"]


def test_viewers_reach_the_pacs_through_the_server(hospital):
    uid = hospital.patients["head_first"].uid
    url = f"{hospital.server.url}/proxy/dicom"
    found = requests.get(f"{url}/qido/series", params={"SeriesInstanceUID": uid}, timeout=30)
    assert [series["0020000E"]["Value"] for series in found.json()] == [[uid]]
    study = found.json()[0]["0020000D"]["Value"][0]
    metadata = requests.get(f"{url}/wado/studies/{study}/series/{uid}/metadata", timeout=30)
    assert len(metadata.json()) == len(hospital.patients["head_first"].files)
    outside = requests.Request("GET", f"{url}/wado/%2e%2e/system").prepare()
    outside.url = f"{url}/wado/%2e%2e/system"
    assert requests.Session().send(outside, timeout=30).status_code == 400


def test_logs_name_no_patient(hospital):
    log = hospital.server.log.read_text()
    assert "PatientName" not in log
    assert "is unlikely to represent" not in log


def test_a_series_that_was_fetched_is_served_while_the_pacs_is_down(hospital, tmp_path):
    patients = hospital.patients
    known, unknown = patients["head_first"].uid, patients["off_origin"].uid
    server = serve(hospital.pacs, tmp_path, "mine").start()
    try:
        click = patients["head_first"].click(image_of(server, known).affine)
        server.stop()
        hospital.pacs.stop()
        server.start()
        assert known in listed(server)
        assert server.click(known, "lung", click, output="json").status_code == 200
        answer = server.click(unknown, "lung", click, output="json")
        assert answer.status_code == 502
        assert "cannot be reached" in answer.json()["detail"]
        assert "cannot be reached" in server.info()["datastore"]["trouble"]
        relayed = requests.get(f"{server.url}/proxy/dicom/qido/studies", timeout=30)
        assert (relayed.status_code, "cannot be reached" in relayed.json()["detail"]) == (502, True)
        mask = patients["head_first"].scan
        kept = submit(server, known, mask.truth(), mask.affine, "{}")
        assert kept.status_code == 502
        assert "kept on this server" in kept.json()["detail"]
        assert len(server.seeds(known)) == 2
        hospital.pacs.start()
        assert server.click(unknown, "lung", patients["off_origin"].click(image_of(server, unknown).affine)).ok
        deadline = time.monotonic() + 30
        while "trouble" in server.info()["datastore"] and time.monotonic() < deadline:
            time.sleep(0.5)
        assert "trouble" not in server.info()["datastore"]
        assert submit(server, known, mask.truth(), mask.affine, "{}").status_code == 200
    finally:
        server.stop()
        if not hospital.pacs.runs:
            hospital.pacs.start()
