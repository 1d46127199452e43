"""A folder of series folders as studies: no PACS needed."""

from __future__ import annotations

import json
import shutil
import threading
from functools import partial
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
import requests
from nibabel.affines import apply_affine

from tests.helpers.app_server import Server
from tests.helpers.dicom_patients import STORED, rewrite, write_patient
from tests.helpers.synthetic import write_scan
from wslpet.core.errors import DicomError, InputError
from wslpet.core.seeds import Seed
from wslpet.core.settings import Settings
from wslpet.io.readers import read_volume
from wslpet.server.errors import UnknownName
from wslpet.server.series import listing
from wslpet.server.series.datastore import SeriesDatastore
from wslpet.server.series.sources.folder import DicomFolder
from wslpet.server.series.sources.source import FoundSegmentation
from wslpet.server.storage.annotations.requests import AnnotationRequest, Place
from wslpet.server.storage.annotations.service import AnnotationService


@pytest.fixture
def studies(tmp_path):
    return tmp_path / "studies"


@pytest.fixture
def opened(studies, monkeypatch):
    monkeypatch.setattr(DicomFolder, "fresh_seconds", 0.0)
    monkeypatch.setattr(listing, "BUSY", 1e9)

    def opened():
        return SeriesDatastore(str(studies), Settings(), DicomFolder(studies))

    return opened


def put(studies: Path, name: str, below: str = "", **options):
    """A patient whose files lie in `studies`, and nothing else of it there."""
    patient = write_patient(studies.parent / "elsewhere" / below, name, **options)
    target = studies / below / name
    shutil.copytree(patient.files[0].parent, target)
    moved = [target / path.name for path in patient.files]
    return type(patient)(patient.scan, patient.volume, moved)


def test_series_and_image_files_are_listed_together(studies, opened):
    one, two = put(studies, "one"), put(studies, "two", below="ward/3")
    put(studies, "nac", description="PET NAC", corrected=False)
    computed = put(studies, "ct")
    rewrite(computed.files, Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    (studies / "one" / "notes.txt").write_text("lies beside")
    write_scan(studies, "nifti")
    store = opened()
    assert sorted(store.list_images()) == sorted([one.uid, two.uid, "nifti"])
    assert not list(studies.glob(".wslpet/series/*/*.nii")), "listing converts nothing"
    for patient in (one, two):
        served = read_volume(store.image_path(patient.uid))
        assert served.array.max() == pytest.approx(patient.volume.array.max(), rel=1e-4)
    assert store.get_image_info(one.uid)["suv"]["factor"] > 0
    assert "suv" not in store.get_image_info("nifti")


def test_linked_folders_and_files_without_preamble_are_listed(studies, opened):
    linked = write_patient(studies.parent / "elsewhere", "linked")
    bare = put(studies, "bare")
    for file in bare.files:
        dataset = pydicom.Dataset(pydicom.dcmread(file))
        dataset.is_implicit_VR = dataset.is_little_endian = True
        dataset.save_as(file)
    (studies / "link").symlink_to(linked.files[0].parent)
    (studies / "bare" / "circle").symlink_to(studies)
    store = opened()
    assert sorted(store.list_images()) == sorted([linked.uid, store.facts(bare_uid(bare))["SeriesInstanceUID"]])
    for image in store.list_images():
        assert read_volume(store.image_path(image)).shape == linked.volume.shape
        assert len(store._conversion.get(store._series(image)).headers()) == linked.volume.shape[2]


def bare_uid(patient) -> str:
    return str(pydicom.dcmread(patient.files[0], force=True).SeriesInstanceUID)


def test_values_far_below_zero_do_not_make_a_series_unusable(studies, opened):
    patient = put(studies, "one")
    rewrite(patient.files, RescaleIntercept="-9000")
    store = opened()
    assert store.volume(patient.uid).array.min() < -1
    assert "refused" not in store.get_image_info(patient.uid)
    assert store.views(patient.uid).coronal.mip.max() > 1


def test_notes_on_inferred_values_are_in_the_info_also_after_a_restart(studies, opened):
    patient, plain = put(studies, "one"), put(studies, "two")
    for file in patient.files:
        header = pydicom.dcmread(file)
        header.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose = "310"
        header.save_as(file)
    shutil.copytree(patient.files[0].parent, studies / "again")
    for store in (opened(), opened()):
        notes = store.notes(patient.uid)
        assert len(notes) == 2 and "copies" in notes[0] and "MBq" in notes[1]
        assert store.get_image_info(patient.uid)["notes"] == notes
        assert store.get_image_info(plain.uid)["notes"] == store.notes(plain.uid) == []


def test_a_series_converted_with_another_version_is_converted_again(studies, opened):
    patient = put(studies, "one")
    path = opened().image_path(patient.uid)
    info = json.loads((path.parent / "info.json").read_text())
    (path.parent / "info.json").write_text(json.dumps({key: info[key] for key in info if key != "rules"}))
    path.write_bytes(b"of another time")
    assert read_volume(opened().image_path(patient.uid)).shape == patient.volume.shape


def test_series_mixed_in_one_folder_are_told_apart(studies, opened):
    one, two = put(studies, "one"), put(studies, "two")
    other = two.uid
    for file in two.files:
        shutil.move(file, studies / "one" / f"other-{file.name}")
    store = opened()
    assert sorted(store.list_images()) == sorted([one.uid, other])
    for uid in store.list_images():
        assert read_volume(store.image_path(uid)).shape == one.volume.shape


def test_a_conversion_outlives_the_server_and_follows_the_files(studies, opened):
    patient = put(studies, "one")
    store = opened()
    path = store.image_path(patient.uid)
    converted = path.stat().st_mtime_ns
    assert opened().image_path(patient.uid) == path
    assert path.stat().st_mtime_ns == converted
    version = store.image_version(patient.uid)
    before = read_volume(path).array.max()
    rewrite(patient.files, PatientWeight="145.0")
    again = read_volume(opened().image_path(patient.uid)).array.max()
    assert again == pytest.approx(2 * before, rel=1e-4)
    store.list_images()
    assert store.image_version(patient.uid) != version


def test_series_come_and_go_while_the_server_runs(studies, opened):
    uid = put(studies, "one").uid
    store = opened()
    store.seeds.append(uid, Seed("lung", (1, 2, 3)))
    other = put(studies, "two")
    assert sorted(store.list_images()) == sorted([uid, other.uid])
    shutil.rmtree(studies / "one")
    assert store.list_images() == [other.uid]
    assert store.seeded() == {}
    with pytest.raises(UnknownName):
        store.image_path(uid)


def test_counting_the_images_does_not_block_listing_them(studies, opened, monkeypatch):
    put(studies, "one")
    store = opened()
    monkeypatch.setattr(store._listing, "renew", partial(store._listing.renew, patience=600.0))
    counting = threading.Thread(target=store.status, daemon=True)
    counting.start()
    counting.join(60)
    assert not counting.is_alive()
    status = store.status()
    assert (status["total"], status["completed"], status["label_tags"]) == (1, 0, {})


def test_a_refused_series_is_listed_with_its_reason(studies, opened):
    patient = put(studies, "one")
    patient.files[40].unlink()
    store = opened()
    assert store.list_images() == [patient.uid]
    with pytest.raises(DicomError, match="Number of Slices"):
        store.image_path(patient.uid)
    assert "Number of Slices" in store.get_image_info(patient.uid)["refused"]
    assert store.waiting() == []
    click = AnnotationRequest(patient.uid, "lung", "Ann", (Place((1, 2, 3)),))
    with pytest.raises(DicomError):
        AnnotationService(store, Settings()).check(click)
    assert store.seeds.get(patient.uid) == []


def test_a_damaged_file_beside_a_series_is_named(studies, opened):
    patient = put(studies, "one")
    rewrite(patient.files, NumberOfSlices=None)
    patient.files[-1].write_bytes(b"")
    with pytest.raises(DicomError, match=patient.files[-1].name):
        opened().image_path(patient.uid)


def test_a_series_uid_that_is_a_path_is_left_out(studies, opened):
    patient = put(studies, "one")
    rewrite(patient.files, SeriesInstanceUID="../../1.2.3")
    assert opened().list_images() == []


def test_dicom_that_is_no_pet_to_annotate_is_named_with_the_reason(studies, opened):
    pet, empty = put(studies, "one"), put(studies, "two")
    left_out = {
        "ct": ({"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "Modality is 'CT', not PT"),
        "nothing": ({"Modality": None}, "it has no Modality"),
        "nac": ({"CorrectedImage": ["DECY"]}, "Corrected Image has no ATTN"),
        "mip": ({"SeriesType": ["WHOLE BODY", "REPROJECTION"]}, "Series Type is REPROJECTION"),
        "capture": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "SOP Class is Secondary Capture Image Storage"),
        "path": ({"SeriesInstanceUID": "../../1.2.3"}, "Series Instance UID is '../../1.2.3', which is no UID"),
    }
    for name, (tags, _) in left_out.items():
        rewrite(put(studies, name, below="ward").files, **tags)
    for file in empty.files:
        file.write_bytes(b"")
    empty.files[0].rename(studies / "one" / "lost.dcm")
    store = opened()
    assert store.list_images() == [pet.uid]
    told = {name: why for name, why in store.left_out.items() if not name.startswith("two/")}
    slices = len(pet.files)
    assert {name.split("/")[1] for name in told} == set(left_out) and len(told) == len(left_out)
    for name, (_, why) in left_out.items():
        (reason,) = (reason for file, reason in told.items() if file.startswith(f"ward/{name}/"))
        assert reason.startswith(why) and reason.endswith(f"({slices} files of one series)")
    damaged = {name: why for name, why in store.left_out.items() if name.startswith("two/")}
    assert len(damaged) == slices - 1 and all("cannot be read as DICOM" in why for why in damaged.values())
    assert store.status()["left_out"] == store.left_out
    shutil.rmtree(studies / "ward")
    store.list_images()
    assert store.left_out == damaged


def test_withdrawing_all_is_refused_if_the_label_is_on_a_pacs(studies, opened, monkeypatch):
    patient = put(studies, "one")
    store = opened()
    store.seeds.append(patient.uid, Seed("lung", tuple(patient.scan.centre), user="Ann"))
    study = store.facts(patient.uid)["StudyInstanceUID"]
    on_the_pacs = {patient.uid: FoundSegmentation("1.2.3", study, patient.uid, "2026")}
    monkeypatch.setattr(DicomFolder, "segmentations", lambda *_: on_the_pacs)
    monkeypatch.setattr(DicomFolder, "fetch_segmentation", lambda *_: pytest.fail("it was fetched"))
    store = opened()
    assert store.get_labeled_images() == [patient.uid]
    before, (seed,) = store.seeds.history(patient.uid), store.seeds.get(patient.uid)
    service = AnnotationService(store, Settings())
    with pytest.raises(InputError, match=r"is series 1\.2\.3 on the"):
        service.withdraw(patient.uid, seed.time, "Eve", all_of_them=True)
    assert store.seeds.history(patient.uid) == before == [seed]
    assert store.get_labeled_images() == [patient.uid]
    service.withdraw(patient.uid, seed.time, "Eve")
    assert store.seeds.get(patient.uid) == []


def test_labels_and_notes_are_kept_and_the_series_is_not_deleted(studies, opened):
    patient = put(studies, "one", stored="slices_upward")
    store = opened()
    label = studies.parent / "label.nii.gz"
    nib.save(nib.Nifti1Image(patient.scan.truth().astype(np.uint8), patient.scan.affine), label)
    store.save_label(patient.uid, str(label), "final", {"user": "ann"})
    store.update_image_info(patient.uid, {"note": "check", "StudyInstanceUID": "other", "version": "other"})
    again = opened()
    assert again.get_labeled_images() == [patient.uid]
    assert again.seeded()[patient.uid].cancer_type == "lung"
    assert again.datalist() == [
        {"image": str(again.image_path(patient.uid)), "label": again.get_label_uri(patient.uid, "final")}
    ]
    info = again.get_image_info(patient.uid)
    assert (info["note"], info["StudyInstanceUID"] != "other") == ("check", True)
    with pytest.raises(InputError, match="delete it there"):
        again.remove_image(patient.uid)
    again.remove_label(patient.uid, "final")
    assert again.get_labeled_images() == []


@pytest.mark.parametrize("stored", STORED)
def test_the_volume_lies_where_the_scan_does(studies, opened, stored):
    patient = put(studies, "one", stored=stored)
    served = read_volume(opened().image_path(patient.uid))
    hot = served.to_world(np.argwhere(served.array > 8))
    assert np.linalg.norm(hot.mean(axis=0) - patient.scan.centre) < 1.0


@pytest.mark.slow
def test_a_series_of_a_folder_is_clicked_and_submitted_through_a_server(studies, tmp_path):
    patient = put(studies, "one", stored="feet_first", below="2026/january")
    for file in patient.files:
        header = pydicom.dcmread(file)
        del header.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime
        header.save_as(file)
    nifti = write_scan(studies, "nifti")
    server = Server(studies, tmp_path / "scratch").start()
    try:
        assert server.info()["datastore"]["total"] == 2
        answer = requests.get(f"{server.url}/datastore/image", params={"image": patient.uid}, timeout=60)
        path = tmp_path / "served.nii"
        path.write_bytes(answer.content)
        click = patient.click(nib.load(path).affine)
        answer = server.click(patient.uid, "lung", click, output="dicom_seg")
        assert answer.status_code == 200, answer.text
        (tmp_path / "seg.dcm").write_bytes(answer.content)
        told = server.click(patient.uid, "lung", click, output="json").json()
        assert "Start DateTime" in told["notes"][0]
        page = requests.get(f"{server.url}/wslpet/api/images/{patient.uid}", timeout=60).json()
        info = requests.get(f"{server.url}/datastore/image/info", params={"image": patient.uid}, timeout=60).json()
        assert page["notes"] == info["notes"] == told["notes"]
        seg = highdicom.seg.segread(tmp_path / "seg.dcm")
        assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == patient.uid
        positions = [
            np.array(group.PlanePositionSequence[0].ImagePositionPatient, float) * (-1, -1, 1)
            for group in seg.PerFrameFunctionalGroupsSequence
        ]
        assert abs(np.mean(positions, axis=0)[2] - patient.scan.centre[2]) < 9
        assert server.seeds(patient.uid)[-1]["cancer_type"] == "lung"
        refused = server.click("nifti", "lung", nifti.click, output="dicom_seg")
        assert (refused.status_code, server.seeds("nifti")) == (400, [])
        assert requests.get(f"{server.url}/proxy/dicom/qido/studies", timeout=30).status_code == 404
        sample = server.client().next_sample("first", {})
        assert sample["id"] == "nifti"
    finally:
        server.stop()


def test_positions_of_a_click_are_those_of_the_patient(studies, opened):
    patient = put(studies, "one", stored="oblique")
    served = read_volume(opened().image_path(patient.uid))
    click = patient.click(served.affine)
    assert np.linalg.norm(apply_affine(served.affine, click) - patient.scan.centre) < max(served.spacing)
    assert served.array[tuple(click)] > 8
