"""What the server adds to OHIF: its address, the lesion and its numbers after an answer, why a click is refused."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.browser.viewers.ohif import Ohif
from tests.helpers.app_server import Server
from tests.helpers.browser import chromium
from tests.helpers.dicom_patients import Patient, write_patient
from tests.helpers.needs import needs_chromium, needs_pacs
from wslpet.cli.demo.orthanc import Orthanc

pytestmark = [needs_chromium, needs_pacs]
# Labels that read as diseases, with the weights that know the types by other names.
DISEASES = {
    "types": "lung cancer,oesophageal cancer",
    "rename": "lung:lung cancer,oesophagus:oesophageal cancer",
    "use_pretrained_model": "true",
}
FAR_MM = np.array([0.0, 0.0, -120.0])


@dataclass(frozen=True)
class Opened:
    patient: Patient
    server: Server
    ohif: Ohif


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """One patient in OHIF, connected at the address that was there."""
    folder = tmp_path_factory.mktemp("answers")
    patient = write_patient(folder, "anna", "oblique")
    with Orthanc(folder / "orthanc") as pacs:
        pacs.upload(patient.files)
        settings = {"MONAI_LABEL_DICOMWEB_CACHE_PATH": str(folder / "cache")}
        server = Server(pacs.dicomweb, folder / "server", DISEASES, settings).start()
        try:
            with chromium() as browser:
                ohif = Ohif(browser.new_page(viewport={"width": 1280, "height": 720}), server.url)
                ohif.open(str(pydicom.dcmread(patient.files[0], stop_before_pixels=True).StudyInstanceUID))
                ohif.connect()
                yield Opened(patient, server, ohif)
        finally:
            server.stop()


def test_after_an_answer_the_views_go_to_the_lesion_and_its_numbers_are_said(opened: Opened) -> None:
    ohif, patient = opened.ohif, opened.patient
    ohif.choose("lung cancer")
    ohif.show(patient.scan.centre)
    ohif.click(patient.scan.centre)
    ohif.show(patient.scan.centre + FAR_MM)
    assert abs(ohif.slice_position()[2] - patient.scan.centre[2]) > 50
    assert ohif.run_points().status == 200
    said = ohif.told("SUVmax")
    assert "lung cancer: " in said
    ohif.settle()
    assert abs(ohif.slice_position()[2] - patient.scan.centre[2]) < 10
    index = opened.server.seeds(patient.uid)[-1]["index"]
    (lesion,) = opened.server.click(patient.uid, "lung cancer", index, output="json").json()["lesions"]
    figures = [float(found) for found in re.findall(r"\d+\.\d", said)]
    assert figures == [round(lesion[name], 1) for name in ("volume_ml", "suv_max", "tlg")]
    if pictures := os.environ.get("PICTURES"):
        ohif.page.screenshot(path=Path(pictures) / "ohif-numbers.png")


def test_a_click_that_is_refused_says_why(opened: Opened) -> None:
    ohif, centre = opened.ohif, opened.patient.scan.centre
    ohif.clear_points()
    ohif.show(centre + FAR_MM)
    ohif.click(centre + FAR_MM)
    assert ohif.run_points().status == 400
    assert "click on the tumour" in ohif.told("hardly stands out")
