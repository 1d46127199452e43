from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.helpers.dicom_series import philips, real_data
from tests.helpers.suv_headers import HALF_LIFE_S, after, ge_scan, header
from wslpet.core.errors import DicomError
from wslpet.io.dicom.suv import suv_of

VECTORS = (
    "BQML_AC_DT_lessThan_S_DT_SIEMENS", "CPS_AND_BQML_AC_DT_-_S_DT", "GE_MEDICAL_AND_BQML", "PHILIPS_BQML",
    "PHILIPS_CNTS_AND_BQML_SUV", "PHILIPS_CNTS_AND_SUV", "RADIOPHARM_DATETIME_UNDEFINED", "SIEMENS",
)  # fmt: skip


def from_json(told: dict) -> Dataset:
    header, tracer = Dataset(), Dataset()
    for keyword, value in told.items():
        if keyword == "PhilipsPETPrivateGroup":
            if value:
                philips(header, value.get("SUVScaleFactor"), value.get("ActivityConcentrationScaleFactor"))
        else:
            setattr(tracer if keyword.startswith("Radio") else header, keyword, value)
    header.RadiopharmaceuticalInformationSequence = [tracer]
    return header


@pytest.mark.parametrize("name", VECTORS)
def test_vendor_vectors(name):
    folder = real_data("suv_vectors")
    headers = [from_json(told) for told in json.loads((folder / f"{name}-instances.json").read_text())]
    expected = json.loads((folder / "expected_suvbw_factor.json").read_text())[name]
    assert suv_of(headers).factors == pytest.approx([expected] * len(headers), abs=1e-6, rel=1e-6)


@pytest.mark.parametrize(
    ("headers", "factor", "scanned"),
    [
        pytest.param([header()], after(hours=2), datetime(2026, 1, 5, 11), id="date-time of injection"),
        pytest.param([header(injection="0900")], after(hours=2), datetime(2026, 1, 5, 11), id="time of injection"),
        pytest.param(
            [header("20260106 003000.5", injection="20260105233000")], after(hours=1, seconds=0.5),
            datetime(2026, 1, 6, 0, 30, 0, 500_000), id="over midnight, date-time",
        ),
        pytest.param(
            [header("20260106 003000", injection="233000")], after(hours=1), datetime(2026, 1, 6, 0, 30),
            id="over midnight, time alone",
        ),
        pytest.param(
            # The scan starts before midnight; a later bed's acquisition date is the next day.
            [header("20260105 235500", "20260106 000300"), header("20260105 235500", "20260105 235500")],
            after(hours=14, minutes=55), datetime(2026, 1, 5, 23, 55), id="scan over midnight",
        ),
        pytest.param(
            [header("20260105 110000", "20260105 111500"), header("20260105 110000", "20260105 110000")],
            after(hours=2), datetime(2026, 1, 5, 11), id="series time at the earliest acquisition",
        ),
        pytest.param(
            [header("20260105 140000", "20260105 112000"), header("20260105 140000", "20260105 110500")],
            after(hours=2, minutes=5), datetime(2026, 1, 5, 11, 5), id="post-processed: earliest acquisition",
        ),
        pytest.param(
            [ge_scan(header("20260105 140000", "20260105 112000"), "20260105111000.00")],
            after(hours=2, minutes=10), datetime(2026, 1, 5, 11, 10), id="post-processed: GE scan date-time",
        ),
        pytest.param(
            [ge_scan(header("20260105 110000", "20260105 112000"), "20260105113000.00")],
            after(hours=2), datetime(2026, 1, 5, 11), id="GE scan date-time does not count before its turn",
        ),
        pytest.param(
            [header(SeriesTime="", AcquisitionTime="", AcquisitionDateTime="20260105110700")],
            after(hours=2, minutes=7), datetime(2026, 1, 5, 11, 7), id="acquisition date-time",
        ),
        pytest.param(
            [header(TimezoneOffsetFromUTC="+0100", injection="20260105080000+0000")],
            after(hours=2), datetime(2026, 1, 5, 11), id="injection in another time zone",
        ),
        pytest.param(
            [header(injection="20260105080000+0000", RadiopharmaceuticalStartTime="090000")],
            after(hours=2), datetime(2026, 1, 5, 11), id="time zone of the scan unknown: the time counts",
        ),
        pytest.param([header("2026.01.05 11:00:00")], after(hours=2), datetime(2026, 1, 5, 11), id="ACR-NEMA style"),
    ],
)  # fmt: skip
def test_decay_from_injection_to_scan(headers, factor, scanned):
    suv = suv_of(headers)
    assert suv.factors == pytest.approx([factor] * len(headers), rel=1e-9)
    assert suv.scanned == scanned


@pytest.mark.parametrize("text", ["ANONYMIZED", "20260105", "05-01-2026 09:00:00", "20260105T090000", "19000101090000",
    "20260105000000", "20270105090000", "20260105080000+0000", "2026010509000", "20260132090000"])  # fmt: skip
def test_without_a_valid_injection_date_time_the_start_time_is_used(text):
    suv = suv_of([header(injection=text.ljust(9), RadiopharmaceuticalStartTime="090000")])
    assert suv.factor == pytest.approx(after(hours=2))
    assert len(suv.notes) == 1 and text in suv.notes[0] and "09:00:00, on the day of the scan" in suv.notes[0]


def test_two_injection_times_that_differ_are_both_shown():
    suv = suv_of([header(injection="20260105090000", RadiopharmaceuticalStartTime="083000")])
    assert suv.factor == pytest.approx(after(hours=2))
    assert len(suv.notes) == 1 and "08:30:00" in suv.notes[0] and "2026-01-05 09:00:00" in suv.notes[0]
    assert suv_of([header(injection="20260105090000", RadiopharmaceuticalStartTime="090030")]).notes == ()


def test_a_dose_that_can_be_no_becquerels_is_megabecquerels():
    suv = suv_of([header(RadionuclideTotalDose="400")])
    assert (suv.factor, suv.dose_bq) == (pytest.approx(after(hours=2)), 4e8)
    assert len(suv.notes) == 1 and "'400'" in suv.notes[0] and "MBq" in suv.notes[0]


@pytest.mark.parametrize(
    ("kind", "units", "sex", "expected"),
    [
        ("LBMJAMES128", "GML", "M", 80 / 62.716), ("LBMJAMES128", "GML", "F", 80 / 56.365),
        ("LBMJANMA", "GML", "M", 80 / 61.731), ("LBMJANMA", "GML", "F", 80 / 50.092),
        ("IBW", "GML", "M", 80 / 77.68), ("IBW", "GML", "F", 80 / 70.98), ("IBW", "GML", "O", 80 / 74.33),
        ("BSA", "CM2ML", "M", 80_000 / 19_964), ("", "CM2ML", "F", 80_000 / 19_964),
    ],
)  # fmt: skip
def test_suv_by_another_measure_of_the_body_is_turned_into_suv_by_weight(kind, units, sex, expected):
    suv = suv_of([header(Units=units, SUVType=kind, PatientSex=sex, PatientSize="1.80")])
    assert suv.factor == pytest.approx(expected, rel=2e-4)
    assert len(suv.notes) == 1 and "80 kg" in suv.notes[0] and ("mean" in suv.notes[0]) == (sex == "O")


@pytest.mark.parametrize(("element", "expected"), [(0x00, 0.0005), (0x09, 0.0005 * after(hours=2))])
def test_philips_factors_whose_creator_was_removed_are_read_and_noted(element, expected):
    dataset = header(Units="CNTS")
    dataset.add_new(0x70531000 + element, "DS", "0.0005")
    suv = suv_of([dataset])
    assert suv.factor == pytest.approx(expected)
    assert f"(7053,10{element:02x})" in suv.notes[0]


def test_admin_uses_the_dose_without_decay():
    suv = suv_of([header(DecayCorrection="ADMIN", RadionuclideHalfLife=None, SeriesTime=None)])
    assert suv.factor == pytest.approx(80_000 / 4e8)


def test_grams_per_ml_are_suv():
    assert suv_of([header(Units="GML", PatientWeight=None)]).factor == 1.0
    assert suv_of([header(Units="GML", SUVType="BW")]).factor == 1.0


def counts(suv: str | None, activity: str | None = None) -> Dataset:
    dataset = header(Units="CNTS")
    philips(dataset, suv, activity)
    return dataset


def test_counts_become_suv_by_the_suv_factor_then_by_the_activity_factor():
    assert suv_of([counts("0.0005", "1.5")]).factor == 0.0005
    by_activity = 1.5 * after(hours=2)
    assert suv_of([counts(None, "1.5")]).factor == pytest.approx(by_activity)
    assert suv_of([counts("0", "1.5")]).factor == pytest.approx(by_activity)


def test_factors_that_differ_from_slice_to_slice_stay_with_their_slices():
    suv = suv_of([counts("0.0005"), counts("0.0007")])
    assert suv.factors == (0.0005, 0.0007) and suv.factor is None
    assert suv.to_dict()["factor"] == [0.0005, 0.0007]


def test_a_private_block_may_lie_anywhere_but_must_be_the_creators():
    dataset = header(Units="CNTS")
    other = dataset.private_block(0x7053, "SOMEBODY ELSE", create=True)
    other.add_new(0x00, "DS", "17")
    with pytest.raises(DicomError, match="without SUV"):
        suv_of([dataset])
    philips(dataset, "0.0005")
    assert suv_of([dataset]).factor == 0.0005


def test_the_values_behind_the_factor_are_kept_as_json():
    told = json.loads(json.dumps(suv_of([header()]).to_dict()))
    assert told == {
        "units": "BQML", "factor": pytest.approx(after(hours=2)), "decay_correction": "START", "weight_kg": 80.0,
        "dose_bq": 4e8, "half_life_s": HALF_LIFE_S, "injected": "2026-01-05T09:00:00",
        "scanned": "2026-01-05T11:00:00", "scan_tag": "SeriesTime",
    }  # fmt: skip


def test_the_file_is_named_where_there_is_one():
    dataset = header(PatientWeight=None)
    dataset.filename = str(Path("somewhere") / "slice.dcm")
    with pytest.raises(DicomError, match=r"^slice\.dcm: Patient's Weight \(0010,1030\) is missing"):
        suv_of([dataset])
    with pytest.raises(DicomError, match="without files"):
        suv_of([])
