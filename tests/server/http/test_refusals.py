"""Bad requests get a 4xx with a sentence, and the server lives on."""

import json
import math

import pytest
import requests

LUNG = [20, 20, 20]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"lung": [[500, 5, 5]]}, "outside"),
        ({"lung": [[-2, 5, 5]]}, "outside"),
        ({"lung": [[math.nan, 5, 5]]}, "not three voxel indices"),
        ({"lung": [[math.inf, 5, 5]]}, "not three voxel indices"),
        ({"lung": [["a", "b", "c"]]}, "not three voxel indices"),
        ({"lung": [[1, 2]]}, "not three voxel indices"),
        ({"lung": "here"}, "list of voxel indices"),
        ({"lung": [LUNG] * 5000}, "at most"),
        ({"lung": [LUNG], "oesophagus": [LUNG]}, "2 types"),
        ({"stomach": [LUNG]}, "unknown cancer type"),
        ({"background": [LUNG]}, "background"),
        ({}, "no click"),
        ({"lung": [LUNG], "result_extension": "/../../x.nii"}, "result_extension"),
        ({"lung": [LUNG], "image": "/etc/passwd"}, "another image"),
        ({"lung": [LUNG], "model": "wslpet"}, "another model"),
        ("{not json", "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ("5", "not a JSON object"),
        ("null", "not a JSON object"),
    ],
)
def test_invalid_clicks_are_refused(clinic, params, said):
    before = clinic.server.seeds("wait0")
    answer = clinic.server.infer("wslpet_seed", "wait0", params)
    _assert_refused(answer, said)
    assert clinic.server.seeds("wait0") == before
    assert requests.get(f"{clinic.server.url}/info/", timeout=30).ok


@pytest.mark.parametrize(
    ("image", "status", "said"),
    [
        ("nobody", 404, "not in the datastore"),
        ("/etc/passwd", 404, "not in the datastore"),
        ("../wait0", 404, "not in the datastore"),
        ("", 400, "no image"),
    ],
)
def test_unknown_images_are_not_found(clinic, image, status, said):
    answer = clinic.server.click(image, "lung", LUNG)
    _assert_refused(answer, said)
    assert answer.status_code == status


def test_an_unknown_session_is_refused(clinic):
    params = {"lung": [LUNG], "session": {"name": "x", "image": "/etc/passwd"}, "image_path": "/etc/passwd"}
    answer = clinic.server.infer("wslpet_seed", "nobody", params)
    _assert_refused(answer, "not in the datastore")
    answer = requests.post(f"{clinic.server.url}/infer/wslpet_seed?session_id=none", timeout=30)
    assert 400 <= answer.status_code < 500


def test_unknown_models_strategies_and_images_are_refused(clinic):
    url = clinic.server.url
    _assert_refused(clinic.server.infer("nothing", "wait0"), "does not exist")
    _assert_refused(requests.post(f"{url}/train/nothing", json={}, timeout=30), "does not exist")
    _assert_refused(requests.post(f"{url}/activelearning/nothing", json={}, timeout=30), "does not exist")
    _assert_refused(requests.get(f"{url}/datastore/image/info?image=nobody", timeout=30), "not in the datastore")


def test_unsupported_requests_are_refused(clinic):
    url = clinic.server.url
    answer = clinic.server.infer("wslpet_seed", "wait0", {"lung": [LUNG]}, output="dicom_seg")
    _assert_refused(answer, "is a DICOM series")
    _assert_refused(requests.post(f"{url}/infer/wsi/wslpet?image=/tmp/x.svs", json={}, timeout=30), "slides")
    with open(clinic.scans["wait0"].path, "rb") as file:
        answer = requests.post(f"{url}/infer/wslpet", files={"file": ("x.nii.gz", file)}, timeout=30)
    _assert_refused(answer, "upload it first")


def test_seed_free_task_takes_no_clicks(clinic):
    _assert_refused(clinic.server.infer("wslpet", "wait0", {"lung": [LUNG]}), "takes no clicks")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"max_epochs": 0}, "between"),
        ({"max_epochs": 10**9}, "between"),
        ({"max_epochs": "many"}, "between"),
        ({"max_epochs": True}, "between"),
        ({"val_split": 0.9}, "between"),
        ({"max_epoch": 3}, "does not exist"),
        ({"name": "../../x"}, "safe name"),
        ({"pretrained": "yes"}, "not true or false"),
        ({"pretrained": True, "from_scratch": True}, "give one"),
        ({"val_ds": "/etc/passwd"}, "does not exist"),
    ],
)
def test_invalid_train_requests_are_refused(clinic, params, said):
    url = f"{clinic.server.url}/train/"
    _assert_refused(requests.post(f"{url}wslpet", json=params, timeout=30), said)
    _assert_refused(requests.post(url, json=params, timeout=30), said)
    _assert_refused(requests.post(url, json={"wslpet": params}, timeout=30), said)


def test_options_of_a_train_task_are_an_object(clinic):
    answer = requests.post(f"{clinic.server.url}/train/", json={"wslpet": [1]}, timeout=30)
    _assert_refused(answer, "send a JSON object")


@pytest.mark.parametrize("name", ["../escape", "a/b", ".hidden", "x" * 300])
def test_uploads_stay_in_their_folder(clinic, name):
    scan = clinic.scans["ras_lung"]
    before = set(clinic.server.studies.parent.rglob("*"))
    with open(scan.path, "rb") as file:
        answer = requests.put(
            f"{clinic.server.url}/datastore/image",
            params={"image": name},
            files={"file": ("up.nii.gz", file)},
            timeout=60,
        )
    _assert_refused(answer, "safe name")
    assert set(clinic.server.studies.parent.rglob("*")) == before


def test_an_upload_must_be_a_scan(clinic):
    for name, content in {"text.nii.gz": b"hello", "text.exe": b"MZ"}.items():
        answer = requests.put(
            f"{clinic.server.url}/datastore/image",
            params={"image": "new"},
            files={"file": (name, content)},
            timeout=60,
        )
        assert 400 <= answer.status_code < 500, answer.text
        assert json.loads(answer.text)["detail"]


def test_an_image_is_never_overwritten(clinic):
    answers = []
    for name in ("ras_lung", "ras_oesophagus"):
        with open(clinic.scans[name].path, "rb") as file:
            answers.append(
                requests.put(
                    f"{clinic.server.url}/datastore/image",
                    params={"image": "ras_lung"},
                    files={"file": ("up.nii.gz", file)},
                    timeout=60,
                )
            )
    assert [answer.status_code for answer in answers] == [200, 409]


def _assert_refused(answer, said):
    assert 400 <= answer.status_code < 500, f"{answer.status_code}: {answer.text}"
    detail = answer.json()["detail"]
    assert said in detail
    assert "Traceback" not in detail
