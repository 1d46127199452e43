"""From a mask to the table and the DICOM objects: one set of numbers."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest

from tests.helpers.dicom_series import real_data
from tests.io.dicom.derived.exported import CENTRES, grid, lesions_in
from wslpet.analysis.burden.body import body_of
from wslpet.analysis.burden.exports import dicom_object, series_lesions
from wslpet.analysis.burden.lesions import Origin, measure_lesions
from wslpet.analysis.burden.tables import PatientRecord, lesions_csv, patients_csv
from wslpet.core.volume import Volume
from wslpet.data.phantom.dicom import Examination, write_series
from wslpet.io.dicom.derived.lesion_segmentation import write
from wslpet.io.dicom.derived.rtstruct import read_rtstruct
from wslpet.io.dicom.series import read_series

ANN = Origin("lung", "41 %", 2, "annotation", "Ann", "2026-11-27T10:30:15.250+00:00")
# Column of a table → concept and derivation in a report.
CODED = {
    "volume_ml": ("126032", None),
    "suv_max": ("126401", "Maximum"),
    "suv_peak": ("126401", "Peak Value Within ROI"),
    "suv_mean": ("126401", "Mean"),
    "sul_max": ("126405", "Maximum"),
    "sul_peak": ("126405", "Peak Value Within ROI"),
    "sul_mean": ("126405", "Mean"),
}


def rows(content):
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def record_of(series, labels, origins):
    body = body_of(series.header)
    found = measure_lesions(series.volume, labels, origins, body)
    return PatientRecord("scan", {}, "measured", "", found, body, next(iter(origins.values())))


def exported(series, labels, record):
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in series.files]
    return series_lesions(record, labels, series.volume, headers, "seed 1", "2.0.0")


def said_in(report):
    """Of each lesion: (concept, derivation) → value."""
    return [
        {(m.name.value, m.derivation and m.derivation.meaning): m.value for m in group.get_measurements()}
        for group in report.content.get_volumetric_roi_measurement_groups()
    ]


def test_the_report_has_the_numbers_of_the_table(tmp_path):
    stored = grid(tilt=13.0)
    array = np.where(lesions_in(stored), 9.0, 1.0) + np.random.default_rng(1).uniform(0, 1, stored.shape)
    write_series(stored.with_array(array.astype(np.float32)), tmp_path / "pet", "P1", Examination())
    series = read_series(tmp_path / "pet")
    labels = series.volume.with_array(lesions_in(series.volume), "label")
    record = record_of(series, labels, {n: replace(ANN, step=n) for n in CENTRES})
    write(dicom_object("sr", exported(series, labels, record)), tmp_path / "sr.dcm")
    report = highdicom.sr.srread(tmp_path / "sr.dcm")
    table = rows(lesions_csv([record]))
    assert len(table) == 3
    for row, said in zip(table, said_in(report), strict=True):
        assert {name: said[code] for name, code in CODED.items()} == {name: float(row[name]) for name in CODED}
        assert said["126033", None] in (float(row["tlg"]), float(row["tlg_sul"]))
    (patient,) = rows(patients_csv([record]))
    (together,) = report.content.get_image_measurement_groups()
    values = {(m.name.value, m.derivation and m.derivation.meaning): m.value for m in together.get_measurements()}
    assert values["126032", "Total"] == float(patient["mtv_ml"])
    assert values["dmax", None] == float(patient["dmax_mm"])
    assert values["sdmax", None] == float(patient["sdmax_per_m"])
    assert values["spread", None] == float(patient["spread_mm"])
    assert float(patient["mtv_ml"]) == pytest.approx(sum(float(row["volume_ml"]) for row in table), rel=1e-5)


@pytest.mark.parametrize(
    ("origin", "said"),
    [(ANN, "SEMIAUTOMATIC"), (replace(ANN, method="label"), "MANUAL"), (replace(ANN, source="model"), "AUTOMATIC")],
)
def test_a_segment_names_its_algorithm_or_person(origin, said, tmp_path):
    stored = grid()
    write_series(stored.with_array(np.ones(stored.shape, np.float32)), tmp_path / "pet", "P1", Examination())
    series = read_series(tmp_path / "pet")
    labels = series.volume.with_array((lesions_in(series.volume) == 1).astype(np.uint8), "label")
    lesions = exported(series, labels, record_of(series, labels, {1: origin}))
    assert dicom_object("seg", lesions).SegmentSequence[0].SegmentAlgorithmType == said
    assert dicom_object("rtstruct", lesions).StructureSetROISequence[0].ROIGenerationAlgorithm == said
    assert dicom_object("rtstruct", lesions).StructureSetTime == "103015"


def test_a_real_sarcoma(tmp_path):
    folder = real_data("sts_001_ge_pet")
    series = read_series(folder / "image")
    mass = read_rtstruct(next((folder / "mask").iterdir()), series)["GTV_Mass"]
    record = record_of(series, mass, {1: Origin("sarcoma", "label", 0, "annotation", "TCIA", ANN.time)})
    (row,) = rows(lesions_csv([record]))
    assert row["voxels"] == "5095"
    assert (float(row["suv_max"]), float(row["suv_mean"])) == pytest.approx((7.9107, 2.555), abs=5e-4)
    # 4.6875² × 3.27 mm.
    assert float(row["volume_ml"]) == pytest.approx(5095 * 4.6875**2 * 3.27 / 1000, rel=1e-4)
    lesions = exported(series, mass, record)
    write(dicom_object("sr", lesions), tmp_path / "sr.dcm")
    (said,) = said_in(highdicom.sr.srread(tmp_path / "sr.dcm"))
    assert {name: said[code] for name, code in CODED.items() if code in said} == {
        name: float(row[name]) for name, code in CODED.items() if code in said
    }
    assert (said["126401", "Maximum"], said["126401", "Mean"]) == pytest.approx((7.9107, 2.555), abs=5e-4)
    write(dicom_object("rtstruct", lesions), tmp_path / "rt.dcm")
    back = read_rtstruct(tmp_path / "rt.dcm", series)["sarcoma 1"]
    np.testing.assert_array_equal(back.array, mass.array)
    segmentation = dicom_object("seg", lesions)
    assert int(np.unpackbits(np.frombuffer(segmentation.PixelData, np.uint8)).sum()) == 5095
    assert Volume(back.array, back.affine).spacing == series.volume.spacing
