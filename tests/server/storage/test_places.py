"""Which folders are read and written: wrong ones are refused before anything is made, and state may lie elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchmarks.common.serving import ServerError, free_port
from tests.helpers.app_server import Server
from tests.helpers.synthetic import write_scan
from wslpet.cli.main import main
from wslpet.cli.serving import serve
from wslpet.core.errors import InputError
from wslpet.core.seeds import Seed
from wslpet.core.settings import Settings
from wslpet.data.importers.common import Options
from wslpet.data.importers.datastore import import_datastore
from wslpet.data.state_folder import VARIABLE, state_folder
from wslpet.server.errors import StorageError
from wslpet.server.storage import places
from wslpet.server.storage.opening import open_studies
from wslpet.server.storage.places import check_state, check_studies


def ct(path):
    nib.save(nib.Nifti1Image(np.full((20, 20, 20), -1000, np.int16), np.diag([4.0, 4, 4, 1])), path)


def everything(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def studies(tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "hold no scan"),
        ({"notes.pdf": b"%PDF", "labels/final/a.nii.gz": b"x", ".hidden/b.nii.gz": b"x"}, "hold no scan"),
        ({"a.nii.gz": b"no scan", "b.nrrd": b""}, "of the 2 scans"),
        ({"a.dcm": b"no DICOM"}, "of the 1 scans"),
    ],
)
def test_a_folder_without_a_usable_scan_is_refused_and_left_as_it_is(studies, content, said):
    for name, written in content.items():
        (studies / name).parent.mkdir(parents=True, exist_ok=True)
        (studies / name).write_bytes(written)
    before = everything(studies)
    with pytest.raises(InputError, match=f"{said}.*(?s:.*)wait_for_scans true.*Nothing was created"):
        open_studies(str(studies), Settings())
    assert everything(studies) == before
    assert open_studies(str(studies), Settings(), wait_for_scans=True).waiting() in ([], ["a", "b"])
    open_studies(str(studies), Settings())  # it was served before


def test_a_refused_folder_lists_the_reasons(studies):
    for n in range(5):
        ct(studies / f"case{n}.nii.gz")
    with pytest.raises(InputError) as caught:
        check_studies(studies)
    told = str(caught.value)
    assert "case0.nii.gz" in told and "case2.nii.gz" in told and "and 2 more" in told and "case3" not in told


def test_one_usable_scan_is_enough(studies):
    ct(studies / "a.nii.gz")
    write_scan(studies, "b")
    check_studies(studies)


def test_a_missing_studies_folder_is_not_created(tmp_path):
    with pytest.raises(InputError, match="do not exist"):
        open_studies(str(tmp_path / "studeis"), Settings())
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        open_studies(str(tmp_path / "file"), Settings())
    assert everything(tmp_path) == {"file"}


def test_read_only_studies_are_not_changed(studies, tmp_path):
    scan = write_scan(studies, "case", "oblique")
    labelled = write_scan(studies, "labelled", "permuted")
    (studies / "labels" / "final").mkdir(parents=True)
    mask = nib.Nifti1Image(labelled.truth().astype(np.uint8), labelled.affine)
    nib.save(mask, studies / "labels" / "final" / "labelled.nii.gz")
    before, state = everything(studies), tmp_path / "state"
    for _ in range(2):
        store = open_studies(str(studies), Settings(), state=state)
        assert store.list_images() == ["case", "labelled"] and store.waiting() == ["case"]
        assert store.seeded()["labelled"].cancer_type == "lung"
    store.seeds.append("case", Seed("lung", tuple(scan.centre)))
    nib.save(nib.Nifti1Image(scan.truth().astype(np.uint8), scan.affine), tmp_path / "mask.nii.gz")
    store.save_label("case", str(tmp_path / "mask.nii.gz"), "final", {})
    store.views("case")
    assert Path(store.get_label_uri("case", "final")).is_relative_to(state)
    store.remove_label("labelled", "final")
    again = open_studies(str(studies), Settings(), state=state)
    assert len(again.seeds.get("case")) == 2 and again.get_labeled_images() == ["case"]
    assert everything(studies) == before
    assert list((state / "projections").iterdir())


def test_the_state_folder_of_the_environment_is_used_by_server_and_commands(studies, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    write_scan(studies, "case")
    store = open_studies(str(studies), Settings())
    store.seeds.append("case", Seed("lung", (1, 2, 3)))
    assert state_folder(studies) == store.private == tmp_path / "state"
    (row,) = import_datastore(studies, Options()).rows
    assert row.scan == studies / "case.nii.gz" and row.seed.cancer_type == "lung"
    assert everything(studies) == {"case.nii.gz"}


@pytest.mark.parametrize("at", ["state", "state/below"])
def test_a_state_folder_that_cannot_be_written_is_reported_in_one_sentence(studies, tmp_path, at):
    (tmp_path / "state").write_text("a file is here")
    with pytest.raises(StorageError, match=r"annotations cannot be kept in .*state.*--conf state_dir DIR"):
        check_state(tmp_path / at, studies)


def test_a_read_only_disk_is_named_as_such(studies, monkeypatch):
    def refused(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(places.tempfile, "NamedTemporaryFile", refused)
    with pytest.raises(StorageError, match="Read-only file system"):
        check_state(studies / ".wslpet", studies)


def test_a_state_folder_of_other_studies_is_refused(studies, tmp_path):
    check_state(tmp_path / "state", studies)
    check_state(tmp_path / "state", studies)
    with pytest.raises(InputError, match=r"is that of the studies .*, not of"):
        check_state(tmp_path / "state", tmp_path / "others")
    with pytest.raises(InputError, match="lies in the studies"):
        check_state(studies / "state", studies)
    assert everything(studies) == set()


def test_a_new_state_folder_is_refused_if_the_studies_have_annotations(studies, tmp_path):
    write_scan(studies, "case")
    open_studies(str(studies), Settings()).seeds.append("case", Seed("lung", (1, 2, 3)))
    with pytest.raises(InputError, match=r"holds annotations that .* does not; copy them there first"):
        open_studies(str(studies), Settings(), state=tmp_path / "state")


def test_the_app_folder_follows_the_installation(tmp_path):
    file = serve.app_folder(tmp_path) / "main.py"
    file.unlink()
    file.symlink_to(tmp_path / "of another installation")
    assert (serve.app_folder(tmp_path) / "main.py").read_text() == serve.MAIN


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "do not exist"),
        (["a", "--conf", "state_dir", "file"], "annotations cannot be kept in file"),
    ],
)
def test_wslpet_serve_reports_errors_before_loading(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "a").mkdir()
    write_scan(tmp_path / "a", "case")
    before = everything(tmp_path)
    assert main(["serve", *words, "--port", str(free_port())]) == 2
    assert said in capsys.readouterr().err
    assert everything(tmp_path) == before


@pytest.mark.slow
def test_start_server_reports_errors_and_removes_the_folder_that_it_created(tmp_path):
    with pytest.raises(ServerError) as caught:
        Server(tmp_path / "studeis", tmp_path / "scratch", {"wait_for_scans": "false"}).start()
    log = (tmp_path / "scratch" / "server.log").read_text()
    assert re.search(r"The server does not start: studies .*/studeis do not exist", log)
    assert "Traceback" not in log and "ended with 2" in str(caught.value)
    assert not (tmp_path / "studeis").exists()


@pytest.mark.slow
def test_an_existing_folder_is_not_removed(studies, tmp_path):
    with pytest.raises(ServerError):
        Server(studies, tmp_path / "scratch", {"wait_for_scans": "false"}).start()
    assert "hold no scan" in (tmp_path / "scratch" / "server.log").read_text()
    assert studies.is_dir() and everything(studies) == set()


@pytest.mark.slow
def test_wslpet_serve_runs_from_an_app_folder_of_its_own(studies, tmp_path):
    write_scan(studies, "case")

    class Started(Server):
        """As `make serve` starts it."""

    server = Started(studies, tmp_path / "scratch", {"state_dir": str(tmp_path / "state")})
    app = server._command.index("--app")
    server._command[1 : app + 3] = ["-m", "wslpet", "serve"]
    server.start()
    try:
        assert server.click("case", "lung", [10, 10, 10]).status_code in (200, 400)
        assert (tmp_path / "state" / "app" / "logs" / "app.log").stat().st_size
        assert everything(studies) == {"case.nii.gz"}
    finally:
        server.stop()
