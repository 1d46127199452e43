"""From one click, or none, to a mask: over HTTP, checked in millimetres."""

import gzip
import io
import time

import nibabel as nib
import numpy as np
import pytest
import requests
import SimpleITK as sitk
from nibabel.affines import apply_affine

from tests.helpers.synthetic import ORIENTATIONS, write_scan
from wslpet.core.seeds import CONTOUR_METHODS


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def assert_is_tumour(array, affine, scan, label):
    """The mask has the image's grid, its label value, and lies on the tumour in world coordinates."""
    assert array.shape == scan.shape
    np.testing.assert_allclose(affine, scan.affine, atol=1e-3)
    assert set(np.unique(array)) == {0, label}
    assert dice(array > 0, scan.truth()) > 0.8
    centroid = apply_affine(affine, np.argwhere(array > 0)).mean(axis=0)
    assert np.linalg.norm(centroid - scan.centre) < 6


@pytest.mark.parametrize("cancer_type", ["lung", "oesophagus"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_click_delineates_the_tumour_where_it_is(clinic, orientation, cancer_type):
    scan = clinic.scans[f"{orientation}_{cancer_type}"]
    params = {"lung": [], "oesophagus": [], "background": [], cancer_type: [scan.click]}
    path, answer = clinic.server.client().infer("wslpet_seed", scan.name, params)
    image = nib.load(path)
    label = {"lung": 1, "oesophagus": 2}[cancer_type]
    assert_is_tumour(np.asarray(image.dataobj), image.affine, scan, label)
    assert answer["cancer_type"] == cancer_type
    assert answer["label_names"] == {"lung": 1, "oesophagus": 2}
    (lesion,) = answer["lesions"]
    assert np.linalg.norm(np.array(lesion["centroid"]["position"]) - scan.centre) < 6
    np.testing.assert_allclose(
        apply_affine(scan.affine, lesion["centroid"]["index"]), lesion["centroid"]["position"], atol=1e-2
    )
    seed = clinic.server.seeds(scan.name)[-1]
    assert seed["cancer_type"] == cancer_type
    assert seed["index"] == scan.click
    np.testing.assert_allclose(seed["position"], apply_affine(scan.affine, scan.click), atol=1e-3)
    assert seed["user"] == "tester"
    assert seed["time"].startswith("20")


@pytest.mark.parametrize("name", ["permuted_lung", "as_nrrd"])
def test_the_answer_to_ohif_is_an_nrrd(clinic, name):
    scan = clinic.scans[name]
    params = {
        "lung": [scan.click],
        "oesophagus": [],
        "background": [],
        "result_extension": ".nrrd",
        "result_dtype": "uint8",
        "result_compress": False,
        "restore_label_idx": False,
    }
    answer = clinic.server.infer("wslpet_seed", name, params, output="image")
    assert answer.status_code == 200, answer.text
    path = clinic.server.scratch / "ohif.nrrd"
    path.write_bytes(answer.content)
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    assert image.GetPixelID() == sitk.sitkUInt8
    assert_is_tumour(sitk.GetArrayFromImage(image).T, np.diag([-1, -1, 1, 1]) @ affine, scan, 1)


def test_the_json_answer_has_all_measures(clinic):
    scan = clinic.scans["ras_lung"]
    answer = clinic.server.click(scan.name, "lung", scan.click, output="json").json()
    (lesion,) = answer["lesions"]
    measures = {"volume_ml", "suv_max", "suv_peak", "suv_mean", "tlg"}
    assert measures | {"label", "centroid"} <= set(lesion)
    assert answer["mtv_ml"] == pytest.approx(lesion["volume_ml"])
    assert answer["tlg"] == pytest.approx(lesion["tlg"])
    assert {"type_probabilities", "model_version", "latencies"} <= set(answer)
    assert answer["latencies"]["total"] > 0


def test_image_output_is_the_file_alone(clinic):
    scan = clinic.scans["lps_lung"]
    answer = clinic.server.click(scan.name, "lung", scan.click, output="image")
    image = nib.Nifti1Image.from_bytes(_gunzip(answer.content))
    assert_is_tumour(np.asarray(image.dataobj), image.affine, scan, 1)


def test_inference_leaves_no_temporary_files(clinic):
    scan = clinic.scans["lps_lung"]
    for output in ("image", "json", "all"):
        assert clinic.server.click(scan.name, "lung", scan.click, output=output).ok
    # The server removes a file after it sent it.
    deadline = time.monotonic() + 30
    while (left := list(clinic.server.scratch.glob("wslpet-*"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def test_a_later_click_supersedes_and_both_stay_in_the_log(clinic):
    scan = clinic.scans["off_origin_lung"]
    before = clinic.server.seeds(scan.name)
    for cancer_type in ("lung", "oesophagus", "lung"):
        assert clinic.server.click(scan.name, cancer_type, scan.click).ok
    after = clinic.server.seeds(scan.name)
    assert after[: len(before)] == before
    assert [seed["cancer_type"] for seed in after[len(before) :]] == ["lung", "oesophagus", "lung"]


def test_a_session_image_is_delineated_and_not_recorded(clinic):
    scan = clinic.scans["lps_oesophagus"]
    client = clinic.server.client()
    session = client.create_session(str(scan.path))["session_id"]
    before = client.get_session(session)
    refused = requests.get(f"{clinic.server.url}/session/{session}", params={"update_ts": "true"}, timeout=30)
    assert refused.status_code == 400 and "does not prolong it" in refused.json()["detail"]
    assert client.get_session(session) == before
    _, answer = client.infer("wslpet_seed", "", {"oesophagus": [scan.click]}, session_id=session)
    assert answer["lesions"][0]["label"] == 2


def test_a_scan_put_into_the_folder_is_served(clinic):
    scan = write_scan(clinic.server.studies, "late", "lps", "lung")
    deadline = time.monotonic() + 60
    while not (answer := clinic.server.click("late", "lung", scan.click, output="json")).ok:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    scan.path.unlink()


def test_the_server_can_reload_the_app(clinic):
    scan = clinic.scans["ras_lung"]
    before = clinic.server.seeds(scan.name)
    assert requests.post(f"{clinic.server.url}/reload", timeout=60).ok
    assert clinic.server.click(scan.name, "lung", scan.click, output="json").ok
    assert clinic.server.seeds(scan.name)[:-1] == before
    assert clinic.server.click(scan.name, "lung", [-9, 0, 0]).status_code == 400


def test_info_lists_the_tasks(clinic):
    info = clinic.server.info()
    assert info["models"]["wslpet"]["type"] == "segmentation"
    assert info["models"]["wslpet_seed"]["type"] == "deepedit"
    assert info["models"]["wslpet_seed"]["labels"] == {"lung": 1, "oesophagus": 2, "background": 3}
    assert info["labels"] == ["lung", "oesophagus", "background"]
    assert info["models"]["wslpet_seed"]["config"] == {"contour": list(CONTOUR_METHODS)}
    assert set(info["strategies"]) == {"uncertainty", "random", "first"}
    assert list(info["trainers"]) == ["wslpet"]


def _gunzip(content):
    return gzip.GzipFile(fileobj=io.BytesIO(content)).read()
