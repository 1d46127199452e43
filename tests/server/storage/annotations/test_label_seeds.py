"""Final labels that were not submitted through the server: seeds, or patients that wait and say why."""

from __future__ import annotations

import shutil

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.synthetic import ORIENTATIONS, write_scan
from wslpet.core.seeds import NO_TUMOUR, Seed
from wslpet.core.settings import Settings
from wslpet.server.errors import PacsError
from wslpet.server.series.datastore import SeriesDatastore
from wslpet.server.storage.datastore import SeededDatastore
from wslpet.server.storage.opening import open_studies

SETTINGS = Settings()


def put_label(scan, value=1, mask=None, affine=None):
    """A mask where MONAI Label looks for those that were brought along."""
    path = scan.path.parent / "labels" / "final" / f"{scan.name}.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    array = (scan.truth() if mask is None else mask).astype(np.uint8) * value
    nib.save(nib.Nifti1Image(array, scan.affine if affine is None else affine), path)
    return path


@pytest.fixture
def studies(tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_an_existing_label_becomes_a_seed_with_its_type(studies, orientation):
    scan = write_scan(studies, "case", orientation, "oesophagus", shift=(8, -6, 12))
    put_label(scan, 2)
    store = open_studies(str(studies), SETTINGS)
    seed = store.seeded()["case"]
    assert (seed.cancer_type, seed.user) == ("oesophagus", "label file")
    assert np.linalg.norm(np.array(seed.position) - scan.centre) < 6
    assert store.waiting() == [] and store.uncounted() == {} and store.remarks() == []
    assert store.status()["completed"] == store.status()["seeded"] == 1


def test_a_label_is_converted_once_and_not_if_a_click_is_recorded(studies):
    for name in ("clicked", "withdrawn", "labelled"):
        put_label(write_scan(studies, name))
    before = SeededDatastore(str(studies), SETTINGS)
    for name in ("clicked", "withdrawn"):
        before.seeds.append(name, Seed("oesophagus", (1, 2, 3), user="Ann", time="then"))
    before.seeds.withdraw("withdrawn", "then", "Ann")
    for _ in range(2):
        store = open_studies(str(studies), SETTINGS)
        assert {image: (s.cancer_type, s.user) for image, s in store.seeded().items()} == {
            "clicked": ("oesophagus", "Ann"), "labelled": ("lung", "label file")
        }  # fmt: skip
        assert store.waiting() == ["withdrawn"]
        assert len(store.seeds.history("labelled")) == 1
    assert not store.seeds.append_first("clicked", Seed("lung", (0, 0, 0)))


def nothing(scan):
    put_label(scan, mask=np.zeros(scan.shape))


def unknown_value(scan):
    put_label(scan, 9)


def two_types(scan):
    mask = scan.truth().astype(np.uint8)
    mask[:2] = 2
    put_label(scan, mask=mask)


def elsewhere(scan):
    affine = scan.affine.copy()
    affine[:3, 3] += 5000
    put_label(scan, affine=affine)


def damaged(scan):
    put_label(scan).write_bytes(b"no mask")


def of_a_ct(scan):
    put_label(scan)
    image = nib.load(scan.path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj) * 100 - 1000, image.affine), scan.path)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (nothing, "is empty"),
        (unknown_value, "stands for no cancer type"),
        (two_types, "2 types"),
        (elsewhere, "outside"),
        (damaged, "cannot be used"),
        (of_a_ct, "SUV"),
    ],
)
def test_an_unusable_label_leaves_its_patient_to_be_annotated_with_a_reason(studies, spoil, said):
    spoil(write_scan(studies, "bad"))
    put_label(write_scan(studies, "good"))
    store = open_studies(str(studies), SETTINGS)
    assert set(store.seeded()) == {"good"}
    assert store.waiting() == ["bad"]
    assert said in store.uncounted()["bad"]
    assert "1 patient stay to be annotated though they have a label" in " ".join(store.remarks())
    assert store.status()["completed"] == 1


def test_a_corrected_label_is_used_and_a_removed_one_no_longer_reported(studies):
    scans = {name: write_scan(studies, name) for name in ("mended", "gone")}
    paths = {name: put_label(scan, 9) for name, scan in scans.items()}
    store = open_studies(str(studies), SETTINGS)
    assert set(store.uncounted()) == {"mended", "gone"}
    put_label(scans["mended"], 2)
    paths["gone"].unlink()
    store.refresh()
    store.label_seeds.renew(60)
    assert store.seeded()["mended"].cancer_type == "oesophagus"
    assert store.uncounted() == {} and store.waiting() == ["gone"]


def test_an_empty_label_means_no_tumour_if_that_is_a_class(studies):
    nothing(write_scan(studies, "case"))
    store = open_studies(str(studies), Settings(no_tumour=True))
    assert store.seeded()["case"].cancer_type == NO_TUMOUR


def test_a_label_is_read_again_after_an_error_that_is_not_its_own(studies, monkeypatch):
    put_label(write_scan(studies, "case"))
    monkeypatch.setattr("wslpet.server.storage.annotations.label_seeds.RETRY_SECONDS", -1.0)
    down = [True]
    original = SeriesDatastore.volume

    def volume(store, image):
        if down:
            raise PacsError("the PACS does not answer")
        return original(store, image)

    monkeypatch.setattr(SeriesDatastore, "volume", volume)
    store = open_studies(str(studies), SETTINGS)
    assert "does not answer" in store.uncounted()["case"]
    down.clear()
    store.label_seeds.renew(60)
    assert store.seeded()["case"].cancer_type == "lung"


def test_labels_of_a_restored_archive_are_used(studies, tmp_path):
    scan = write_scan(studies, "case", "oblique")
    put_label(scan)
    open_studies(str(studies), SETTINGS)
    restored = tmp_path / "restored"
    shutil.copytree(studies, restored, ignore=shutil.ignore_patterns(".wslpet", ".lock", "datastore_v2.json"))
    assert set(open_studies(str(restored), SETTINGS).seeded()) == {"case"}


def test_a_label_with_a_former_type_name_has_the_new_one(studies):
    scan = write_scan(studies, "case")
    put_label(scan)
    before = SeededDatastore(str(studies), SETTINGS)
    before.update_label_info("case", "final", {"label_info": [{"name": "Oesophagus", "idx": 1}]})
    types = Settings(types=("lung", "esophagus"))
    assert "no cancer type" in open_studies(str(studies), types).uncounted()["case"]
    renamed = open_studies(str(studies), types, renamed={"oesophagus": "esophagus"})
    assert renamed.seeded()["case"].cancer_type == "esophagus"
