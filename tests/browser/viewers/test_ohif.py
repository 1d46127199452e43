"""OHIF in Chromium on a real PACS: what annotators see there, and what the server then knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from tests.browser.viewers.ohif import Ohif, Segmentation
from tests.browser.viewers.ward import TYPES, Patient, Ward, overlap
from tests.helpers.app_server import Server
from tests.helpers.browser import chromium, errors_of
from tests.helpers.dicom_patients import STORED
from tests.helpers.needs import needs_chromium, needs_pacs

pytestmark = [needs_chromium, needs_pacs]
# What OHIF says of images that it was loading when another study was opened.
LEFT_BEHIND = ("Failed to load resource", "request failed", "CORNERSTONE_IMAGE_LOAD_FAILED", "IMAGE_LOAD_ERROR")


@dataclass(frozen=True)
class Clicked:
    """A click on a patient: where it was, the SUV that OHIF has there, what it shows afterwards, and the seeds."""

    position: np.ndarray
    suv: float
    shown: Segmentation
    coloured: tuple[int, int]
    seeds: list[dict]


@pytest.fixture(scope="module")
def server(ward: Ward) -> Iterator[Server]:
    with ward.serve("ohif") as started:
        yield started


@pytest.fixture(scope="module")
def ohif(server: Server) -> Iterator[Ohif]:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        errors = errors_of(page)
        yield Ohif(page, server.url)
        assert [error for error in errors if not any(known in error for known in LEFT_BEHIND)] == []


@pytest.fixture(scope="module")
def clicked(ward: Ward, server: Server, ohif: Ohif) -> dict[str, Clicked]:
    """One click on each patient, under its type."""
    return {stored: click(server, ohif, patient) for stored, patient in ward.patients.items()}


def click(server: Server, ohif: Ohif, patient: Patient) -> Clicked:
    ohif.open(patient.study)
    ohif.connect()
    ohif.choose(patient.cancer_type)
    ohif.show(patient.centre)
    before = ohif.coloured(patient.centre)
    position = ohif.click(patient.centre)
    answer = ohif.run_points()
    assert answer.status == 200, answer.text()
    ohif.settle()
    return Clicked(
        position,
        ohif.suv(patient.centre),
        ohif.segmentation(),
        (before, ohif.coloured(patient.centre)),
        server.seeds(patient.uid),
    )


@pytest.mark.parametrize("stored", STORED)
def test_a_click_is_held_as_a_seed_where_it_was_made(ward, clicked, stored):
    patient, made = ward.patients[stored], clicked[stored]
    assert [seed["cancer_type"] for seed in made.seeds] == [patient.cancer_type]
    assert np.abs(np.array(made.seeds[0]["position"]) - made.position).max() <= patient.voxel_mm
    assert np.linalg.norm(made.position - patient.centre) < patient.voxel_mm


@pytest.mark.parametrize("stored", STORED)
def test_the_lesion_is_shown_where_it_is(ward, clicked, stored):
    patient, made = ward.patients[stored], clicked[stored]
    assert made.suv > 9
    assert set(made.shown.voxels) == {patient.cancer_type}
    assert overlap(made.shown.positions(patient.cancer_type), patient.tumour, patient.voxel_mm) > 0.8
    before, after = made.coloured
    assert before == 0
    assert after > 20


def test_a_type_is_corrected_by_another_click(ward, server, ohif, clicked):
    patient = list(ward.patients.values())[-1]
    other = next(name for name in TYPES if name != patient.cancer_type)
    for cancer_type in (other, patient.cancer_type):
        ohif.choose(cancer_type)
        ohif.clear_points()
        ohif.click(patient.centre + np.array([patient.voxel_mm, 0, 0]))
        assert ohif.run_points().status == 200
        assert server.seeds(patient.uid)[-1]["cancer_type"] == cancer_type


def test_auto_segmentation_shows_the_tumour_under_its_type(ward, ohif):
    for patient in ward.phantoms:
        ohif.open(patient.study)
        ohif.connect()
        ohif.show(patient.centre)
        assert ohif.segmentation().voxels == {}
        answer = ohif.auto_segment()
        assert answer.status == 200, answer.text()
        ohif.settle()
        shown = ohif.segmentation()
        assert set(shown.voxels) == {patient.cancer_type}
        assert overlap(shown.positions(patient.cancer_type), patient.tumour, patient.voxel_mm) > 0.7
        assert ohif.coloured(patient.centre) > 20


def test_update_model_trains_to_the_end(ward, server, ohif, clicked):
    answer = ohif.update_model()
    assert answer.status == 200, answer.text()
    task = server.wait_for_training()
    assert task["status"] == "DONE", task["details"]
    stats = server.info()["train_stats"]["wslpet"]
    assert sum(stats["patients"].values()) == len(clicked)
    assert stats["total_time"]


def test_next_sample_opens_a_patient_without_a_click(ward, ohif, clicked):
    assert ohif.next_sample() in {patient.study for patient in ward.phantoms}


def test_a_label_on_the_pacs_is_shown_where_it_is(ward, server, ohif, clicked, tmp_path):
    patient, made = ward.patients["feet_first_upward"], clicked["feet_first_upward"]
    label = tmp_path / "label.dcm"
    answer = server.click(patient.uid, patient.cancer_type, made.seeds[0]["index"], output="dicom_seg")
    label.write_bytes(answer.content)
    ward.pacs.upload([label])
    ohif.open(patient.study)
    ohif.open_label()
    shown = ohif.segmentation()
    assert set(shown.voxels) == {patient.cancer_type}
    assert overlap(shown.positions(patient.cancer_type), patient.tumour, patient.voxel_mm) > 0.8
