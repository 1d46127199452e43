"""An annotator's day in 3D Slicer, by the requests of its module, on a real PACS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from nibabel.affines import apply_affine

from tests.browser.viewers.slicer import Slicer
from tests.browser.viewers.ward import Ward, overlap
from tests.helpers.app_server import Server
from tests.helpers.dicom_patients import STORED
from tests.helpers.needs import needs_pacs
from wslpet.core.volume import Volume

pytestmark = needs_pacs


@dataclass(frozen=True)
class Annotated:
    """A patient in Slicer, and what was answered to the click."""

    slicer: Slicer
    mask: Volume


@pytest.fixture(scope="module")
def server(ward: Ward) -> Iterator[Server]:
    with ward.serve("slicer") as started:
        yield started


@pytest.fixture(scope="module")
def clicked(ward: Ward, server: Server) -> dict[str, Annotated]:
    """Next Sample and a point, until no patient is left; every other volume is downloaded."""
    patients = {patient.uid: patient for patient in [*ward.patients.values(), *ward.phantoms]}
    answers = {}
    for number in range(len(patients)):
        slicer = Slicer(server, shares_disk=number % 2 == 0)
        uid = slicer.next_sample()
        assert uid is not None and uid not in answers
        mask, _ = slicer.point(patients[uid].cancer_type, patients[uid].centre)
        answers[uid] = Annotated(slicer, mask)
    assert Slicer(server).next_sample() is None
    return answers


@pytest.mark.parametrize("stored", STORED)
def test_a_point_is_a_seed_and_a_lesion_where_it_was_placed(ward, server, clicked, stored):
    patient = ward.patients[stored]
    seed = server.seeds(patient.uid)[-1]
    assert seed["cancer_type"] == patient.cancer_type
    assert np.linalg.norm(np.array(seed["position"]) - patient.centre) < patient.voxel_mm
    answer = clicked[patient.uid]
    np.testing.assert_allclose(answer.mask.affine, answer.slicer.affine, atol=1e-3)
    assert overlap(positions(answer.mask), patient.tumour, patient.voxel_mm) > 0.8


def test_auto_segmentation_finds_the_tumour_under_its_type(ward, clicked):
    for patient in ward.phantoms:
        mask, result = clicked[patient.uid].slicer.auto_segment()
        assert {int(value) for value in np.unique(mask.array) if value} == {result["label_names"][patient.cancer_type]}
        assert overlap(positions(mask), patient.tumour, patient.voxel_mm) > 0.7


def test_a_submitted_mask_is_a_seed_and_a_type(ward, server, clicked):
    for patient in ward.phantoms:
        slicer = clicked[patient.uid].slicer
        mask, _ = slicer.auto_segment()
        before = len(server.seeds(patient.uid))
        slicer.submit(mask.array > 0, patient.cancer_type)
        seeds = server.seeds(patient.uid)
        assert (len(seeds), seeds[-1]["cancer_type"], seeds[-1]["user"]) == (before + 1, patient.cancer_type, "tester")
        assert np.linalg.norm(patient.tumour - seeds[-1]["position"], axis=1).min() < patient.voxel_mm


def test_training_runs_to_its_end_and_the_new_weights_answer(ward, server, clicked):
    Slicer(server).train(max_epochs=3)
    task = server.wait_for_training()
    assert task["status"] == "DONE", task["details"]
    stats = Slicer(server).info["train_stats"]["wslpet"]
    assert sum(stats["patients"].values()) == len(clicked)
    _, result = clicked[ward.phantoms[0].uid].slicer.auto_segment()
    assert result["model_version"]


def positions(mask: Volume) -> np.ndarray:
    return apply_affine(mask.affine, np.argwhere(mask.array))
