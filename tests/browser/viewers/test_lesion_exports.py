"""Exported lesions on a PACS: what DICOMweb serves of them, and what OHIF in Chromium shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pydicom
import pytest
import requests

from tests.browser.viewers.ohif import Ohif
from tests.browser.viewers.ward import Patient, Ward, overlap
from tests.helpers.browser import chromium
from tests.helpers.needs import needs_chromium, needs_pacs
from wslpet.analysis.burden.exports import dicom_object, series_lesions
from wslpet.analysis.burden.lesions import Origin, measure_lesions
from wslpet.analysis.burden.tables import PatientRecord
from wslpet.core.volume import Volume
from wslpet.io.dicom.derived.lesion_segmentation import write
from wslpet.io.dicom.derived.lesions import SeriesLesions
from wslpet.io.dicom.series import read_series

pytestmark = [needs_chromium, needs_pacs]
MODALITIES = {"seg": "SEG", "rtstruct": "RTSTRUCT", "sr": "SR"}


@dataclass(frozen=True)
class Stored:
    """A patient on the PACS with three lesions in three DICOM objects."""

    patient: Patient
    labels: Volume
    exported: SeriesLesions


@pytest.fixture(scope="module")
def stored(ward: Ward) -> Stored:
    patient = ward.patients["oblique"]
    series = read_series(patient.files[0].parent)
    labels = np.zeros(series.volume.shape, np.uint8)
    i, j, k = np.rint(series.volume.to_index(patient.tumour)).astype(int).T
    labels[i, j, k] = 1
    labels[12:17, 20:24, 30:34] = 2
    labels[38:41, 10:16, 66:70] = 3
    labels = series.volume.with_array(labels, "label")
    origin = Origin("lung", "41 %", 0, "annotation", "Ann", "2026-11-27T10:30:15.250+00:00")
    found = measure_lesions(series.volume, labels, dict.fromkeys((1, 2, 3), origin))
    record = PatientRecord(patient.uid, {}, "measured", "", found, origin=origin)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in series.files]
    exported = series_lesions(record, labels, series.volume, headers, "stamp", "2")
    for form in MODALITIES:
        path = ward.folder / f"{form}.dcm"
        write(dicom_object(form, exported), path)
        ward.pacs.upload([path])
    return Stored(patient, labels, exported)


def metadata(ward: Ward, stored: Stored, modality: str) -> pydicom.Dataset:
    """The one instance of a modality in the patient's study, as DICOMweb describes it."""
    study = f"{ward.pacs.dicomweb}/studies/{stored.patient.study}"
    found = requests.get(f"{study}/series", params={"Modality": modality}, timeout=30).json()
    assert len(found) == 1
    uid = found[0]["0020000E"]["Value"][0]
    told = requests.get(f"{study}/series/{uid}/metadata", timeout=30).json()
    assert len(told) == 1
    return pydicom.Dataset.from_json(told[0])


def test_dicomweb_serves_a_segment_for_each_lesion(ward, stored):
    told = metadata(ward, stored, "SEG")
    assert [segment.SegmentLabel for segment in told.SegmentSequence] == ["lung 1", "lung 2", "lung 3"]
    uids = [stored.exported.tracking_uid(lesion) for lesion in stored.exported.lesions]
    assert [segment.TrackingUID for segment in told.SegmentSequence] == uids
    assert told.ReferencedSeriesSequence[0].SeriesInstanceUID == stored.patient.uid


def test_dicomweb_serves_the_structure_set_and_the_report(ward, stored):
    structures = metadata(ward, stored, "RTSTRUCT")
    assert [roi.ROIName for roi in structures.StructureSetROISequence] == ["lung 1", "lung 2", "lung 3"]
    report = metadata(ward, stored, "SR")
    assert report.ConceptNameCodeSequence[0].CodeValue == "126000"
    segmentation = metadata(ward, stored, "SEG")
    referred = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    # highdicom 0.28 lists the images, too, and in another order.
    assert segmentation.SeriesInstanceUID in {series.SeriesInstanceUID for series in referred}


@pytest.fixture(scope="module")
def ohif(ward: Ward, stored: Stored) -> Iterator[Ohif]:
    with ward.serve("exports") as server, chromium() as browser:
        yield Ohif(browser.new_page(viewport={"width": 1280, "height": 720}), server.url)


def test_ohif_shows_each_segment_where_its_lesion_is(stored, ohif):
    ohif.open(stored.patient.study)
    ohif.open_derived("SEG")
    shown = ohif.segmentation()
    assert set(shown.voxels) == {"lung 1", "lung 2", "lung 3"}
    for number in (1, 2, 3):
        truth = stored.labels.to_world(np.argwhere(stored.labels.array == number))
        assert overlap(shown.positions(f"lung {number}"), truth, stored.patient.voxel_mm) > 0.99
