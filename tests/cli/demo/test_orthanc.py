"""Orthanc for the demo and the tests: it keeps what it is given, once, and for this computer only."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.helpers.dicom_patients import Patient, write_patient
from tests.helpers.needs import needs_pacs
from wslpet.cli.demo import orthanc as pacs
from wslpet.cli.demo.orthanc import Orthanc, PacsError, is_installed

LOGIN = ("reader", "a secret")


@dataclass(frozen=True)
class Loaded:
    pacs: Orthanc
    patient: Patient
    folder: Path


@pytest.fixture(scope="module")
def loaded(tmp_path_factory) -> Iterator[Loaded]:
    folder = tmp_path_factory.mktemp("pacs")
    patient = write_patient(folder, "somebody")
    with Orthanc(folder / "orthanc", login=LOGIN) as orthanc:
        orthanc.upload(orthanc.missing(folder / "dicom"))
        yield Loaded(orthanc, patient, folder)


@needs_pacs
def test_files_are_found_over_dicomweb(loaded):
    series = requests.get(f"{loaded.pacs.dicomweb}/series", auth=LOGIN, timeout=30).json()
    assert [found["0020000E"]["Value"] for found in series] == [[loaded.patient.uid]]
    assert loaded.pacs.get("/statistics").json()["CountInstances"] == len(loaded.patient.files)


@needs_pacs
def test_a_series_is_missing_until_all_its_slices_are_there(loaded):
    assert loaded.pacs.missing(loaded.folder / "dicom") == []
    other = write_patient(loaded.folder / "later", "another")
    loaded.pacs.upload(other.files[:-1])
    assert loaded.pacs.missing(loaded.folder / "later") == other.files
    done: list[None] = []
    loaded.pacs.upload(other.files, lambda: done.append(None))
    assert len(done) == len(other.files)
    assert loaded.pacs.missing(loaded.folder / "later") == []


@needs_pacs
def test_images_outlive_the_process_and_the_port_closes(tmp_path, loaded):
    with Orthanc(tmp_path / "kept") as orthanc:
        orthanc.upload(loaded.patient.files[:3])
    assert not orthanc.runs
    with pytest.raises(requests.ConnectionError):
        requests.get(orthanc.url, timeout=5)
    with Orthanc(tmp_path / "kept", port=orthanc.port):
        assert orthanc.get("/statistics").json()["CountInstances"] == 3


@needs_pacs
def test_only_this_computer_is_answered_and_only_with_the_password(loaded):
    assert requests.get(f"{loaded.pacs.dicomweb}/series", timeout=30).status_code == 401
    settings = loaded.pacs.folder / "orthanc.json"
    assert json.loads(settings.read_text())["RemoteAccessAllowed"] is False
    assert settings.stat().st_mode & 0o077 == 0


@needs_pacs
def test_a_file_that_is_not_dicom_is_named_in_the_error(loaded, tmp_path):
    (tmp_path / "notes.dcm").write_text("not DICOM")
    with pytest.raises(PacsError, match=r"notes\.dcm was refused by Orthanc"):
        loaded.pacs.upload([tmp_path / "notes.dcm"])


@needs_pacs
def test_a_taken_port_is_named(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PacsError, match=f"port {port} is taken"):
            Orthanc(tmp_path, port).start()


@needs_pacs
def test_a_start_that_fails_says_what_the_log_says(tmp_path, monkeypatch):
    (tmp_path / "broken.so").write_text("no plugin")
    monkeypatch.setattr(pacs, "PLUGINS", (str(tmp_path / "broken.so"),))
    orthanc = Orthanc(tmp_path / "orthanc")
    with pytest.raises(PacsError, match=r"did not start \(it ended\).*broken.so"):
        orthanc.start()
    assert not orthanc.runs


@pytest.mark.parametrize("lacking", ["SYSTEM_FOLDERS", "PLUGINS"])
def test_a_missing_installation_is_an_error_with_the_remedy(tmp_path, monkeypatch, lacking):
    monkeypatch.setattr(pacs, lacking, (str(tmp_path / "nothing"),))
    if lacking == "SYSTEM_FOLDERS":
        monkeypatch.setenv("PATH", str(tmp_path))
    assert not is_installed()
    with pytest.raises(PacsError, match="apt-get install orthanc orthanc-dicomweb"):
        Orthanc(tmp_path / "orthanc").start()
