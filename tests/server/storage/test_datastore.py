"""The datastore's files under two processes' hands, as two objects of it."""

import json
import shutil
import threading
from pathlib import Path

import nibabel as nib
import pytest

from tests.helpers.synthetic import write_scan
from wslpet.core.seeds import Seed
from wslpet.core.settings import Settings
from wslpet.io.cache.disk_cache import DiskCache
from wslpet.server.errors import Conflict, StorageError, UnknownName
from wslpet.server.storage.annotations.seed_log import SeedLog
from wslpet.server.storage.datastore import SeededDatastore


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    for name in ("one", "two"):
        write_scan(folder, name)
    return folder


def opened(folder):
    return SeededDatastore(str(folder), Settings())


def on_disk(folder):
    return json.loads((folder / "datastore_v2.json").read_text())["objects"]


def test_two_processes_do_not_undo_each_other(folder):
    first, second = opened(folder), opened(folder)
    first.update_image_info("one", {"by": "first"})
    second.update_image_info("two", {"by": "second"})
    first.update_image_info("one", {"again": True})
    info = {name: entry["image"]["info"] for name, entry in on_disk(folder).items()}
    assert info["one"]["by"] == "first"
    assert info["one"]["again"] is True
    assert info["two"]["by"] == "second"


def test_seeds_of_one_process_are_seen_by_the_other(folder):
    first, second = opened(folder), opened(folder)
    first.seeds.append("one", Seed("lung", (1, 2, 3), (1, 2, 3), "ann"))
    assert second.get_image_info("one")["seeds"][0]["user"] == "ann"
    assert second.annotated() == {"one"}
    assert second.status()["completed"] == second.status()["seeded"] == 1


def test_seeds_cannot_be_written_through_the_info(folder):
    store = opened(folder)
    store.update_image_info("one", {"seeds": [{"cancer_type": "lung"}], "note": 1})
    info = store.get_image_info("one")
    assert info["seeds"] == []
    assert info["note"] == 1


def test_a_removed_image_takes_its_seeds_along(folder, tmp_path):
    store = opened(folder)
    kept = shutil.copy(folder / "one.nii.gz", tmp_path / "kept.nii.gz")
    store.seeds.append("one", Seed("lung", (1, 2, 3)))
    store.remove_image("one")
    assert "one" not in store.list_images()
    with pytest.raises(UnknownName):
        store.image_path("one")
    assert store.add_image("one", kept, {}) == "one"
    assert store.get_image_info("one")["seeds"] == []


def test_a_removed_image_takes_its_projections_along(folder):
    store = opened(folder)
    for name in ("one", "two"):
        store.views(name)
    assert len(DiskCache(folder / ".wslpet" / "projections", 1 << 30)) == 2
    store.remove_image("one")
    assert len(DiskCache(folder / ".wslpet" / "projections", 1 << 30)) == 1
    assert store.views("two").name == "two.nii.gz"


def test_an_image_from_elsewhere_leaves_no_projection(folder, tmp_path):
    store = opened(folder)
    store.scans.views(write_scan(tmp_path, "session").path)
    assert not (folder / ".wslpet" / "projections").exists()


def test_a_failed_write_leaves_the_old_list(folder, monkeypatch):
    store = opened(folder)
    store.update_image_info("one", {"note": "old"})
    before = on_disk(folder)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wslpet.core.atomic_io.os.replace", full)
    with pytest.raises(StorageError, match="No space left"):
        store.update_image_info("one", {"note": "new"})
    monkeypatch.undo()
    assert on_disk(folder) == before
    assert list(folder.glob("*.part")) + list(folder.glob(".*.part")) == []


def test_added_files_are_listed_and_removed_ones_are_not(folder, tmp_path):
    store = opened(folder)
    write_scan(tmp_path, "far")
    (folder / "linked.nii.gz").symlink_to(tmp_path / "far.nii.gz")
    (folder / "notes.txt").write_text("no image")
    for tag in ("original", "other"):
        (folder / "labels" / tag).mkdir(parents=True, exist_ok=True)
        for name in ("one", "linked", "unknown"):
            (folder / "labels" / tag / f"{name}.nii.gz").touch()
    store._reconcile_datastore()
    listed = on_disk(folder)
    assert set(listed) == set(store.list_images()) == {"one", "two", "linked"}
    assert listed["linked"]["image"]["info"]["name"] == "linked.nii.gz"
    assert set(listed["one"]["labels"]) == {"original", "other"} and listed["two"]["labels"] == {}
    (tmp_path / "far.nii.gz").unlink()
    (folder / "two.nii.gz").unlink()
    (folder / "labels" / "other" / "one.nii.gz").unlink()
    store._reconcile_datastore()
    assert set(on_disk(folder)) == {"one"}
    assert set(on_disk(folder)["one"]["labels"]) == {"original"}


@pytest.fixture
def asked(folder):
    """A store, its image "one" asked for in a thread, and what that found."""
    store, found = opened(folder), []
    asking = threading.Thread(target=lambda: found.append(store.image_path("one")))
    yield store, asking, found
    asking.join(20)
    assert found == [(folder / "one.nii.gz").resolve()]


def test_an_image_is_found_while_the_folder_is_looked_through(asked):
    store, asking, found = asked
    with store._changing():
        asking.start()
        asking.join(20)
        assert found


def test_an_image_that_is_away_for_a_moment_is_waited_for(asked):
    store, asking, found = asked
    with store._changing():
        entry = store._datastore.objects.pop("one")
        asking.start()
        asking.join(0.2)
        assert found == []
        store._datastore.objects["one"] = entry


def test_an_unknown_image_is_named_in_the_error(folder):
    with pytest.raises(UnknownName, match="nobody"):
        opened(folder).get_image_info("nobody")


def refused(*_, **__):
    raise StorageError("the disk is full")


@pytest.mark.parametrize(
    ("what", "error"),
    [("nothing", Conflict), ("_keep", StorageError), ("_append", StorageError)],
)
def test_withdrawing_all_removes_the_label_too_or_changes_nothing(folder, monkeypatch, what, error):
    scan = write_scan(folder, "case")
    truth = folder.parent / "mask.nii.gz"
    nib.save(nib.Nifti1Image(scan.truth().astype("uint8"), scan.affine), truth)
    store = opened(folder)
    store.seeds.append("case", Seed("oesophagus", tuple(scan.centre), user="Ann"))
    store.save_label("case", str(truth), "final", {"user": "Ann"})
    before, time = store.seeds.history("case"), store.seeds.get("case")[-1].time
    kept = list((folder / ".wslpet" / "superseded").rglob("*.nii.gz"))
    with monkeypatch.context() as failing:
        if what != "nothing":
            failing.setattr(SeedLog if what == "_append" else SeededDatastore, what, refused)
        with pytest.raises(error):
            store.withdraw("case", "never" if what == "nothing" else time, "Eve", all_of_them=True)
    for now in (store, opened(folder)):
        assert now.seeds.history("case") == before and now.get_labeled_images() == ["case"]
        assert Path(now.get_label_uri("case", "final")).read_bytes() == truth.read_bytes()
    assert list((folder / ".wslpet" / "superseded").rglob("*.nii.gz")) == kept
    store.withdraw("case", time, "Eve", all_of_them=True)
    for now in (store, opened(folder)):
        assert now.seeds.get("case") == [] and now.get_labeled_images() == [] and now.waiting()[0] == "case"
    (copy,) = set((folder / ".wslpet" / "superseded").rglob("*.nii.gz")) - set(kept)
    assert copy.read_bytes() == truth.read_bytes()
