"""A PACS that is down, slow or answers nonsense: an error with a sentence, nothing half kept, and on it goes."""

from __future__ import annotations

import time

import numpy as np
import pytest
import requests

from benchmarks.common.serving import free_port
from tests.helpers.app_server import Server
from tests.helpers.bad_pacs import BadPacs, wait_until
from tests.helpers.dicom_patients import rewrite, write_patient
from wslpet.core.errors import DicomError, InputError
from wslpet.core.settings import Settings
from wslpet.io.readers import read_volume
from wslpet.server.errors import PacsError, UnknownName, status_of
from wslpet.server.series import conversion, listing
from wslpet.server.series.datastore import SeriesDatastore
from wslpet.server.series.sources.dicomweb import DicomWeb
from wslpet.server.storage.opening import open_studies

READ_SECONDS = 0.5


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patients")
    return write_patient(folder, "asked"), write_patient(folder, "other")


@pytest.fixture
def pacs(patients):
    asked, other = patients
    pacs = BadPacs(asked.files, other.files)
    yield pacs
    pacs.close()


@pytest.fixture
def opened(tmp_path, monkeypatch):
    monkeypatch.setattr(DicomWeb, "fresh_seconds", 0.0)
    monkeypatch.setattr(listing, "BUSY", 1e9)

    def opened(url):
        return SeriesDatastore(str(tmp_path / "cache"), Settings(), DicomWeb(url, read_seconds=READ_SECONDS))

    return opened


def kept(store):
    return [path for path in store.private.rglob("*") if path.suffix in (".nii", ".dcm", ".part")]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("html", "not DICOMweb"),
        ("error", "answered 500"),
        ("forbidden", "refused the login (401)"),
        ("hang", "did not answer in time"),
        ("drop", "cannot be reached"),
        ("no_list", "not DICOMweb"),
        ("no_uid", "not DICOMweb"),
    ],
)
def test_a_failed_search_is_reported_and_repeated(pacs, opened, how, said):
    pacs.search = how
    store = opened(pacs.url)
    assert store.list_images() == []
    assert said in store.status()["trouble"]
    assert pacs.url.removesuffix("/dicom-web") in store.status()["trouble"]
    with pytest.raises(PacsError, match=r"PACS http"):
        store.image_path(pacs.uid)
    pacs.search = ""
    assert wait_until(lambda: store.list_images() == [pacs.uid])
    assert "trouble" not in store.status()


def test_known_series_stay_listed_while_the_pacs_does_not_answer(pacs, opened, patients):
    store = opened(pacs.url)
    assert store.list_images() == [pacs.uid]
    path = store.image_path(pacs.uid)
    pacs.search = pacs.fetch = "hang"
    start = time.monotonic()
    assert store.list_images() == [pacs.uid]
    assert time.monotonic() - start < 3
    assert store.image_path(pacs.uid) == path
    assert opened(pacs.url).list_images() == [pacs.uid]
    np.testing.assert_allclose(read_volume(path).array.max(), patients[0].volume.array.max(), rtol=1e-3)


def test_a_pacs_without_a_search_for_segmentations_shows_its_series(pacs, opened):
    pacs.search = "no_segmentations"
    store = opened(pacs.url)
    assert store.list_images() == [pacs.uid]
    assert "segmentations" in store.status()["trouble"]
    assert store.image_path(pacs.uid).exists()


@pytest.mark.parametrize("how", ["nothing", "path"])
def test_an_answer_without_series_that_can_be_used_is_an_empty_list(pacs, opened, how):
    pacs.search = how
    store = opened(pacs.url)
    assert store.list_images() == []
    with pytest.raises(UnknownName):
        store.image_path("../../../etc/passwd")


def test_a_search_of_a_pacs_without_paging_ends(pacs, opened):
    pacs.search = "endless"
    assert opened(pacs.url).list_images() == [pacs.uid]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("html", "not DICOMweb"),
        ("error", "answered 500"),
        ("forbidden", "refused the login"),
        ("hang", "did not answer in time"),
        ("drop", "cannot be reached"),
        ("nothing", "not DICOMweb"),
        ("other", "sent another one"),
        ("half", "of its"),
        ("broken", "broke off"),
        ("junk", "not DICOMweb"),
    ],
)
def test_a_failed_download_leaves_no_files(pacs, opened, how, said):
    store = opened(pacs.url)
    pacs.fetch = how
    with pytest.raises(PacsError, match=said) as caught:
        store.image_path(pacs.uid)
    assert status_of(caught.value) == 502
    assert said in store.get_image_info(pacs.uid)["unavailable"]
    assert kept(store) == []
    pacs.fetch = ""
    assert read_volume(store.image_path(pacs.uid)).array.max() > 5
    assert len(kept(store)) == 1


def test_a_slice_that_was_cut_short_is_fetched_again(pacs, opened, monkeypatch):
    store = opened(pacs.url)
    pacs.fetch = "cut"
    with pytest.raises(DicomError, match="cut short"):
        store.image_path(pacs.uid)
    pacs.fetch = ""
    with pytest.raises(DicomError, match="cut short"):
        store.image_path(pacs.uid)
    assert "cut short" in store.get_image_info(pacs.uid)["refused"]
    assert store.waiting() == []
    monkeypatch.setattr(conversion, "REFUSED_SECONDS", 0.0)
    assert store.waiting() == [pacs.uid]
    assert store.image_path(pacs.uid).exists()


def test_a_series_is_fetched_once(pacs, opened):
    store = opened(pacs.url)
    store.image_path(pacs.uid)
    fetched = [path for path in pacs.requests if path.endswith(pacs.uid)]
    for again in (store, opened(pacs.url)):
        again.image_path(pacs.uid)
        again.get_image_info(pacs.uid)
    assert [path for path in pacs.requests if path.endswith(pacs.uid)] == fetched
    assert len(fetched) == 1


def test_a_series_that_grew_is_fetched_again(opened, tmp_path):
    patient = write_patient(tmp_path, "growing")
    rewrite(patient.files, NumberOfSlices=None)
    pacs = BadPacs(patient.files[:-5], [])
    try:
        store = opened(pacs.url)
        assert read_volume(store.image_path(pacs.uid)).shape[2] == len(patient.files) - 5
        pacs.files = patient.files
        version = str(len(patient.files))
        assert wait_until(lambda: bool(store.list_images()) and store.get_image_info(pacs.uid)["version"] == version)
        assert read_volume(store.image_path(pacs.uid)).shape[2] == len(patient.files)
    finally:
        pacs.close()


@pytest.mark.parametrize("url", ["http://", "https://:80/x", "http://host:port/x"])
def test_an_invalid_dicomweb_url_is_refused(url):
    with pytest.raises(InputError, match="no DICOMweb address"):
        open_studies(url, Settings())


@pytest.mark.slow
def test_the_server_starts_lives_and_recovers(pacs, patients, tmp_path):
    pacs.search = "hang"
    settings = {"MONAI_LABEL_DICOMWEB_CACHE_PATH": str(tmp_path / "cache"), "MONAI_LABEL_DICOMWEB_PROXY_TIMEOUT": "3"}
    server = Server(pacs.url, tmp_path / "scratch", settings=settings).start()
    try:
        for _ in range(3):
            start = time.monotonic()
            assert server.info()["datastore"]["total"] == 0
            assert time.monotonic() - start < 3
        answer = server.infer("wslpet_seed", pacs.uid, {"lung": [[1, 1, 1]]})
        assert answer.status_code == 502
        assert "did not answer in time" in answer.json()["detail"]
        pacs.search = ""
        assert wait_until(lambda: server.info()["datastore"]["total"] == 1, 60)
        for how in ("html", "junk", "half", "broken"):
            pacs.fetch = how
            answer = server.infer("wslpet_seed", pacs.uid, {"lung": [[1, 1, 1]]})
            assert answer.status_code == 502, answer.text
            assert "PACS" in answer.json()["detail"]
        pacs.fetch = ""
        answer = requests.get(f"{server.url}/datastore/image", params={"image": pacs.uid}, timeout=60)
        assert answer.ok
        assert server.click(pacs.uid, "lung", patients[0].click(read_volume_of(answer, tmp_path).affine)).ok
    finally:
        server.stop()


@pytest.mark.slow
def test_the_server_starts_on_a_pacs_that_is_down(tmp_path):
    settings = {"MONAI_LABEL_DICOMWEB_CACHE_PATH": str(tmp_path / "cache")}
    server = Server(f"http://127.0.0.1:{free_port()}/dicom-web", tmp_path / "scratch", settings=settings).start()
    try:
        assert "cannot be reached" in server.info()["datastore"]["trouble"]
        answer = server.infer("wslpet", "1.2.3")
        assert (answer.status_code, "cannot be reached" in answer.json()["detail"]) == (502, True)
    finally:
        server.stop()


def read_volume_of(answer, folder):
    path = folder / "served.nii"
    path.write_bytes(answer.content)
    return read_volume(path)


def test_a_series_that_is_no_pet_to_annotate_is_named_with_the_reason(tmp_path, opened, patients):
    patient = write_patient(tmp_path / "patients", "uncorrected")
    rewrite(patient.files, CorrectedImage=["DECY", "RAN"])
    pacs = BadPacs(patient.files, patients[1].files)
    store = opened(pacs.url)
    assert store.list_images() == []
    (told,) = store.status()["left_out"].items()
    assert told[0] == f"series {pacs.uid}" and "Corrected Image has no ATTN" in told[1]
    pacs.close()
