"""What cannot be used is passed over by every way to the next patient, and only what is done looks done."""

from __future__ import annotations

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import requests
import torch

from tests.helpers.app_server import Server
from tests.helpers.synthetic import write_scan
from wslpet.core.seeds import Seed
from wslpet.core.settings import Settings
from wslpet.method.network.checkpoint import Model, new_network
from wslpet.server.errors import PacsError, StorageError
from wslpet.server.page.annotation import AnnotationPage
from wslpet.server.storage.datastore import SeededDatastore
from wslpet.server.storage.opening import open_studies
from wslpet.server.tasks.strategies import First, Random, Uncertainty


def ct(path):
    nib.save(nib.Nifti1Image(np.full((20, 20, 20), -1000, np.int16), np.diag([4.0, 4, 4, 1])), path)


def cut_off(path):
    write_scan(path.parent, path.name.removesuffix(".nii.gz"))
    path.write_bytes(path.read_bytes()[:-5000])


def four_dimensional(path):
    nib.save(nib.Nifti1Image(np.ones((8, 8, 8, 3), np.float32), np.eye(4)), path)


def empty(path):
    path.write_bytes(b"")


def opened(studies):
    return open_studies(str(studies), Settings(), wait_for_scans=True)


def weights():
    torch.manual_seed(0)
    model = Model(new_network(Settings()).eval(), Settings())
    return SimpleNamespace(current=lambda: model)


STRATEGIES = {"first": First, "random": Random, "uncertainty": lambda: Uncertainty(weights())}


@pytest.fixture
def studies(tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("spoil", [ct, cut_off, four_dimensional, empty])
def test_an_unusable_image_is_skipped(studies, strategy, spoil):
    for name in ("a_bad", "c_bad"):
        spoil(studies / f"{name}.nii.gz")
    write_scan(studies, "b_good")
    store = opened(studies)
    for _ in range(3):
        assert STRATEGIES[strategy]()({}, store)["id"] == "b_good"
    store.seeds.append("b_good", Seed("lung", (0, 0, 0)))
    assert STRATEGIES[strategy]()({}, store) is None
    assert store.waiting() == [] and set(store.unusable()) == {"a_bad", "c_bad"}


def test_an_unexpected_error_skips_the_image(studies, monkeypatch):
    for name in ("a", "b"):
        write_scan(studies, name)
    store = opened(studies)
    original = SeededDatastore.views

    def views(self, image):
        if image == "a":
            raise MemoryError
        return original(self, image)

    monkeypatch.setattr(SeededDatastore, "views", views)
    assert First()({}, store)["id"] == "b"
    assert store.unusable() == {"a": "MemoryError"}


def test_an_image_is_offered_again_after_its_file_changed(studies):
    ct(studies / "case.nii.gz")
    store = opened(studies)
    assert First()({}, store) is None
    write_scan(studies, "case")
    assert First()({}, store)["id"] == "case"


@pytest.mark.parametrize("error", [PacsError("the PACS cannot be reached"), StorageError("the disk is full")])
def test_unreachable_images_do_not_count_as_annotated(studies, monkeypatch, error):
    for name in ("a", "b"):
        write_scan(studies, name)
    store = opened(studies)
    away = {"a"}
    original = SeededDatastore.views

    def views(self, image):
        if image in away:
            raise error
        return original(self, image)

    monkeypatch.setattr(SeededDatastore, "views", views)
    assert First()({}, store)["id"] == "b"
    away.add("b")
    with pytest.raises(type(error), match=str(error)):
        First()({}, store)
    assert store.unusable() == {}


def test_no_patient_left_is_an_error_while_the_pacs_does_not_answer(studies):
    store = opened(studies)
    store._listing.trouble = PacsError("the PACS cannot be reached")
    with pytest.raises(PacsError):
        First()({}, store)
    assert store.remarks() == ["the PACS cannot be reached"]


@pytest.fixture
def page(studies):
    def page():
        store = opened(studies)
        first = First()
        app = SimpleNamespace(next_sample=lambda request: first(request, store) or {})
        return AnnotationPage(app, store, None, Settings())

    return page


def test_an_empty_cohort_looks_empty(page):
    told = page().next("first", "me", [])
    assert told.image is None and "There is no PET scan on this server" in told.message


def test_a_cohort_without_a_usable_scan_looks_unusable(studies, page):
    for name in ("a", "b"):
        ct(studies / f"{name}.nii.gz")
    told = page().next("first", "me", [])
    assert told.image is None
    assert "None of the 2 scans can be used" in told.message and "0 of 2 patients are annotated" in told.message
    assert "SUV" in told.message


def test_annotated_patients_count_as_completed(studies, page):
    write_scan(studies, "a")
    ct(studies / "b.nii.gz")
    page().datastore.seeds.append("a", Seed("lung", (0, 0, 0)))
    told = page().next("first", "me", [])
    assert told.message == "1 of 2 patients are annotated. 1 cannot be used; the cohort says why."


def test_scores_of_removed_images_are_dropped(studies):
    strategy = Uncertainty(weights())
    for name in ("a", "b"):
        write_scan(studies, name)
    store = opened(studies)
    strategy({}, store)
    assert set(strategy._scores) == {"a", "b"}
    store.remove_image("b")
    strategy({}, store)
    assert set(strategy._scores) == {"a"}


@pytest.mark.slow
def test_a_server_skips_unusable_images_and_logs_why(studies, tmp_path):
    ct(studies / "case01_CT.nii.gz")
    write_scan(studies, "case01_PET")
    store = SeededDatastore(str(studies), Settings())
    write_scan(studies, "gone")
    store.refresh()
    store.seeds.append("gone", Seed("melanoma", (0, 0, 0), user="Ann"))
    server = Server(studies, tmp_path / "scratch").start()
    try:
        api = f"{server.url}/wslpet/api"
        for _ in range(2):
            assert server.client().next_sample("first", {})["id"] == "case01_PET"
            asked = {"strategy": "first", "client": "you"}  # what a viewer holds is for nobody else
            assert requests.post(f"{api}/next", json=asked, timeout=60).json()["image"] == "gone"
        assert "annotated as melanoma" in server.info()["datastore"]["remarks"][0]
        status = requests.post(f"{api}/status", json={"client": "you", "open": ["gone"]}, timeout=60).json()
        assert "annotated as melanoma" in status["remarks"][0] and status["annotated"] == 0
        cohort = requests.get(f"{api}/cohort", timeout=60).json()
        rows = {row["image"]: row for row in cohort["rows"]}
        assert rows["case01_CT"]["state"] == "unreadable" and "SUV" in rows["case01_CT"]["reason"]
        assert rows["gone"]["state"] == "unannotated" and "annotated as melanoma by Ann" in rows["gone"]["reason"]
        assert rows["gone"]["annotation"] is None and rows["gone"]["annotations"] == 1
        history = requests.get(f"{api}/images/gone/annotations", timeout=60).json()
        assert [said["counts"] for said in history] == [False]
        asked = {"strategy": "first", "client": "me", "exclude": ["case01_PET"]}
        held = requests.post(f"{api}/next", json=asked, timeout=60).json()
        assert held["image"] is None and held["elsewhere"] == 2
        assert "annotated as melanoma" in server.log.read_text()
    finally:
        server.stop()
