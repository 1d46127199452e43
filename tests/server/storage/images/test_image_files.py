"""Files of the studies folder: each is an image, or named with the reason why it is none."""

from __future__ import annotations

import logging
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.synthetic import write_scan
from wslpet.core.seeds import Seed
from wslpet.core.settings import Settings
from wslpet.io.folders import Tree, look_into
from wslpet.io.masks import write_mask
from wslpet.io.readers import read_volume
from wslpet.server.errors import UnknownName
from wslpet.server.series.datastore import SeriesDatastore
from wslpet.server.series.sources.folder import DicomFolder
from wslpet.server.storage.datastore import SeededDatastore
from wslpet.server.storage.images.image_files import flat_name, image_files


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    return folder


def opened(folder: Path) -> SeededDatastore:
    return SeededDatastore(str(folder), Settings())


def scan(folder: Path, name: str, extension: str = ".nii.gz") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    return write_scan((folder / name).parent, Path(name).name, extension=extension).path


def label(store: SeededDatastore, image: str, path: Path) -> Path:
    volume = store.volume(image)
    inside = (volume.array > 8).astype(np.uint8)
    write_mask(volume.with_array(inside, "label"), path)
    return path


def test_scans_in_subfolders_are_listed_by_their_path(folder):
    scan(folder, "sub-01/pet/sub-01_pet")
    scan(folder, "sub-02/pet/sub-02_pet", ".nrrd")
    scan(folder, "flat")
    store = opened(folder)
    assert sorted(store.list_images()) == ["flat", "sub-01/pet/sub-01_pet", "sub-02/pet/sub-02_pet"]
    assert store.left_out == {}
    assert store.volume("sub-01/pet/sub-01_pet").array.max() > 8


def test_names_that_look_alike_are_kept_apart(folder, tmp_path):
    names = ["a/b", "a-b", "a_b", "a/b_c", "a_b/c"]
    for name in names:
        scan(folder, name)
    store = opened(folder)
    assert sorted(store.list_images()) == sorted(names)
    for name in names:
        store.save_label(name, str(label(store, name, tmp_path / "label.nii.gz")), "final", {})
    assert len({store.get_label_uri(name, "final") for name in names}) == len(names)
    assert len({store.get_image_info(name)["name"] for name in names}) == len(names)
    assert not any("/" in store.get_image_info(name)["name"] for name in names)
    assert sorted(opened(folder).get_labeled_images()) == sorted(names)
    with zipfile.ZipFile(store.get_dataset_archive(None)) as archive:
        assert {f"{kind}/{name}.nii.gz" for name in names for kind in ("image", "label")} < set(archive.namelist())
    Path(archive.filename).unlink()


def test_labels_and_seeds_of_a_nested_image_are_found_again(folder, tmp_path):
    scan(folder, "p/SUV")
    store = opened(folder)
    store.seeds.append("p/SUV", Seed("lung", (1, 2, 3)))
    store.save_label("p/SUV", str(label(store, "p/SUV", tmp_path / "label.nii.gz")), "final", {})
    assert (folder / "labels" / "final" / "p" / "SUV.nii.gz").exists()
    again = opened(folder)
    assert again.annotated() == {"p/SUV"}
    again.remove_label("p/SUV", "final")
    assert not (folder / "labels" / "final" / "p" / "SUV.nii.gz").exists()
    again.remove_image("p/SUV")
    assert again.list_images() == [] and not (folder / "p" / "SUV.nii.gz").exists()
    kept = [path.relative_to(folder / ".wslpet" / "superseded").as_posix() for path in folder.rglob("SUV.nii.gz")]
    assert [name.split("/", 1)[1] for name in sorted(kept)] == ["p/SUV.nii.gz"] * 2


@pytest.mark.parametrize("name", ["../flat", "p/../flat", "/etc/passwd", "p//SUV", "./flat"])
def test_a_path_that_is_no_images_name_is_unknown(folder, name):
    scan(folder, "flat")
    scan(folder, "p/SUV")
    with pytest.raises(UnknownName):
        opened(folder).image_path(name)


@pytest.mark.parametrize("name", ["UPPER.NII.GZ", "Mixed.Nii.gz", "p/UPPER.NII"])
def test_endings_in_capitals_are_read(folder, name):
    end = ".nii.gz" if name.lower().endswith(".gz") else ".nii"
    scan(folder, "lower", end).rename(folder / "x")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / "x").rename(folder / name)
    store = opened(folder)
    image = name[: -len(end)]
    assert store.list_images() == [image]
    assert store.volume(image).array.max() > 8


def test_of_two_files_of_one_stem_one_is_named(folder, caplog):
    scan(folder, "dup", ".nrrd")
    with caplog.at_level(logging.WARNING):
        store = opened(folder)
        assert store.left_out == {}
        scan(folder, "dup")
        store = opened(folder)
    assert store.image_path("dup").name == "dup.nrrd"  # it was there before
    why = "image dup is dup.nrrd already; rename or remove one of the two"
    assert store.left_out == {"dup.nii.gz": why}
    assert store.status()["left_out"] == store.left_out
    assert f"left out: dup.nii.gz: {why}" in caplog.text


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("notes.txt", "no image"),
        ("p/table.csv", "no image"),
        ("p/scan.mhd", "voxels in another file"),
        ("p/CT.nii.gz", "by its name a CT"),
        ("p/CTres.nii.gz", "by its name a CT"),
        ("p/SEG.nii.gz", "by its name a mask"),
        ("p/CHUM-001__CT.nii.gz", "by its name a CT"),
        ("labelsTr/CHUM-001.nii.gz", "by its name a mask"),
        ("p/new\nline.nii.gz", "control characters"),
    ],
)
def test_files_that_are_not_images_are_listed_with_the_reason(folder, file, why):
    scan(folder, "p/SUV")
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_bytes(b"x")
    store = opened(folder)
    assert store.list_images() == ["p/SUV"]
    assert list(store.left_out) == [file] and why in store.left_out[file]


def test_a_name_that_is_not_utf8_is_named(folder):
    scan(folder, "good")
    (Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.nii.gz"))).write_bytes(b"x")
    store = opened(folder)
    assert store.list_images() == ["good"]
    assert list(store.left_out.values()) == ["its name is not UTF-8; rename it"]
    assert "good" in (folder / "datastore_v2.json").read_text(encoding="utf-8")


def test_the_servers_own_and_hidden_files_are_not_reported(folder):
    scan(folder, "one")
    for name in (".hidden/x.nii.gz", ".x.nii.gz", "labels/final/x.nii.gz", ".wslpet/series/y.nii"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    store = opened(folder)
    assert (store.list_images(), store.left_out) == (["one"], {})


def test_linked_folders_are_listed_once_and_circles_end(folder, tmp_path):
    scan(tmp_path / "elsewhere", "deep/x")
    scan(folder, "own/y")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "a-link").symlink_to(folder / "own")
    (tmp_path / "elsewhere" / "deep" / "up").symlink_to(tmp_path / "elsewhere")
    (folder / "own" / "top").symlink_to(folder)
    (folder / "nowhere.nii.gz").symlink_to(tmp_path / "gone")
    store = opened(folder)
    assert sorted(store.list_images()) == ["linked/deep/x", "own/y"]
    assert store.left_out == {
        "a-link": "a link to own, which is listed already",
        "linked/deep/up": "a link to linked, which is listed already",
        "own/top": "a link to the folder itself, which is listed already",
        "nowhere.nii.gz": "a link to nothing",
    }


def test_a_link_to_a_blob_is_read_and_named_by_its_own_name(folder, tmp_path):
    """As in Hugging Coronal's cache, DVC and git-annex."""
    path = scan(folder, "p")
    expected = read_volume(path).array
    blob = path.rename(tmp_path / "3f2a9c")
    path.symlink_to(blob)
    store = opened(folder)
    assert store.image_path("p") == path
    assert Path(store.get_image_uri("p")).name == store.get_image_info("p")["name"] == "p.nii.gz"
    assert np.array_equal(store.volume("p").array, expected)
    store.views("p")
    assert list((folder / ".wslpet" / "projections").iterdir())
    store.remove_image("p")
    assert blob.exists() and not path.is_symlink()
    assert len(list(folder.rglob("superseded/*/p.nii.gz"))) == 1


def test_a_folder_that_cannot_be_opened_is_named(folder, monkeypatch):
    scan(folder, "one")
    (folder / "closed").mkdir()
    scandir = os.scandir

    def closed(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert look_into(folder).left_out == {"closed": "cannot be opened (Permission denied); let the server read it"}


def test_added_and_removed_files_in_subfolders_are_noticed(folder):
    scan(folder, "p/one")
    store = SeriesDatastore(str(folder), Settings(), DicomFolder(folder))
    store._listing._fresh_seconds = 0.0

    def images() -> list[str]:
        store._listing.renew(60, at_once=True)
        return sorted(SeededDatastore.list_images(store))

    assert images() == ["p/one"]
    scan(folder, "p/q/two")
    assert images() == ["p/one", "p/q/two"]
    (folder / "p" / "q" / "notes.txt").write_text("x")
    (folder / "p" / "one.nii.gz").rename(folder / "p" / "q" / "three.nii.gz")
    assert images() == ["p/q/three", "p/q/two"]
    assert list(store.left_out) == ["p/q/notes.txt"]
    for file in (folder / "p" / "q").iterdir():
        file.unlink()
    (folder / "p" / "q").rmdir()
    assert images() == [] and store.left_out == {}


def test_folders_below_are_watched(folder):
    scan(folder, "p/q/one")
    store = SeriesDatastore(str(folder), Settings(), DicomFolder(folder))
    assert {folder, folder / "p", folder / "p" / "q", folder / "labels" / "final"} <= set(store._folders())


def test_an_image_that_is_listed_stays_whatever_its_name():
    tree = Tree(files=["p/CT.nii.gz", "q/CT.nii.gz"])
    images, left_out = image_files(tree, {"p/CT": ".nii.gz"})
    assert list(images) == ["p/CT"] and list(left_out) == ["q/CT.nii.gz"]


def test_flat_names_are_those_of_one_image_only():
    names = [flat_name(image, ".nii.gz") for image in ("a/b", "a_b", "a/b/c", "a/b_c", "a_b/c")]
    assert len(set(names)) == len(names) and not any("/" in name for name in names)
