from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.helpers.dicom_series import philips, put, real_data
from wslpet.core.errors import DicomError
from wslpet.io.dicom.suv import suv_of

VECTORS = (
    "BQML_AC_DT_lessThan_S_DT_SIEMENS", "CPS_AND_BQML_AC_DT_-_S_DT", "GE_MEDICAL_AND_BQML", "PHILIPS_BQML",
    "PHILIPS_CNTS_AND_BQML_SUV", "PHILIPS_CNTS_AND_SUV", "RADIOPHARM_DATETIME_UNDEFINED", "SIEMENS",
)  # fmt: skip
HALF_LIFE_S = 6586.2


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


def header(
    series: str = "20260105 110000", acquisition: str | None = None, injection: str = "20260105090000", **tags: str
) -> Dataset:
    """80 kg, 400 MBq: SUV is Bq/ml / 5000 before decay. Dates and times as DICOM writes them."""
    dataset, tracer = Dataset(), Dataset()
    dataset.RadiopharmaceuticalInformationSequence = [tracer]
    date, time = series.split()
    acquired_on, acquired_at = (acquisition or series).split()
    told = {
        "CorrectedImage": "NORM\\ATTN\\DECY", "DecayCorrection": "START", "Units": "BQML", "PatientWeight": "80",
        "RadionuclideTotalDose": "4e8", "RadionuclideHalfLife": str(HALF_LIFE_S), "SeriesDate": date,
        "SeriesTime": time, "AcquisitionDate": acquired_on, "AcquisitionTime": acquired_at,
    }  # fmt: skip
    clock = "RadiopharmaceuticalStartDateTime" if len(injection) > 8 else "RadiopharmaceuticalStartTime"
    for keyword, text in {**told, clock: injection, **tags}.items():
        put(dataset, keyword, text)
    return dataset


def ge_scan(dataset: Dataset, moment: str) -> Dataset:
    dataset.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", moment)
    return dataset


def after(**elapsed: float) -> float:
    return 80_000 / (4e8 * 2 ** -(timedelta(**elapsed).total_seconds() / HALF_LIFE_S))


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


def framed(
    factor: str | None,
    acquisition: str = "20260105 110000",
    series: str = "20260105 110000",
    minutes: float = 4,
    **tags,
) -> Dataset:
    """A slice with Decay Factor and frame duration."""
    dataset = header(series, acquisition, **tags)
    put(dataset, "DecayFactor", factor)
    put(dataset, "ActualFrameDuration", f"{60_000 * minutes:.0f}")
    return dataset


def factor_at(minutes: float, duration: float = 4) -> str:
    """Decay Factor of a frame that begins so many minutes after the reference, as its integral says."""
    seconds = 60 * (minutes + np.linspace(0, duration, 100_001))
    return f"{1 / np.mean(2.0 ** (-seconds / HALF_LIFE_S)):.5f}"


@pytest.mark.parametrize(
    ("headers", "expected", "tag", "notes"),
    [
        pytest.param([framed(factor_at(0))], after(hours=2), "SeriesTime", 0, id="fits the series time"),
        pytest.param(
            [framed(factor_at(0), series="20260105 102000")], after(hours=2), "AcquisitionTime", 1, id="opened early"
        ),
        pytest.param(
            [framed(factor_at(40), series="20260105 102000")], after(hours=1, minutes=20), "SeriesTime", 0,
            id="late window, corrected to the series time",
        ),
        pytest.param(
            [framed(factor_at(50, 20), series="20260105 140000", minutes=20, StudyDate="20260105", StudyTime="101000")],
            after(hours=1, minutes=10), "StudyTime", 1, id="late window, stamped again: study time",
        ),
        pytest.param(
            [ge_scan(framed(factor_at(30), series="20260105 140000"), "20260105103000")], after(hours=1, minutes=30),
            "PET scan_datetime", 1, id="post-processed: GE scan date-time confirmed",
        ),
        pytest.param(
            [ge_scan(framed(factor_at(0), series="20260105 140000"), "20260105103000")], after(hours=2),
            "AcquisitionTime", 1, id="post-processed: GE scan date-time denied",
        ),
        pytest.param(
            [framed(factor_at(60, 10), series="20260105 140000", minutes=10, FrameReferenceTime="3898000")],
            after(hours=1), "FrameReferenceTime", 1, id="frame reference time",
        ),
        pytest.param(
            [framed(factor_at(4 * bed), f"20260105 11{4 * bed:02}00") for bed in range(6)],
            after(hours=2), "SeriesTime", 0, id="beds with their own acquisition times",
        ),
        pytest.param(
            [framed(factor_at(4.05 * bed)) for bed in range(6)],
            after(hours=2), "SeriesTime", 0, id="beds with one acquisition time, as GE writes",
        ),
        pytest.param(
            [framed(factor_at(4 * bed), f"20260105 11{4 * bed:02}00", "20260105 102000") for bed in (2, 0, 1)],
            after(hours=2), "AcquisitionTime", 1, id="beds, opened early",
        ),
        pytest.param([framed("1")], after(hours=2), "SeriesTime", 0, id="a factor of 1 tells nothing"),
        pytest.param([framed("0")], after(hours=2), "SeriesTime", 0, id="a factor of 0 is none"),
        pytest.param(
            [framed("1.0000", series="20260105 102000")], after(hours=1, minutes=20), "SeriesTime", 1,
            id="a factor of 1 does not confirm an early series time",
        ),
        pytest.param(
            [framed("1.0", "20260105 110000"), framed("1.0429", "20260105 110640")], after(hours=2), "SeriesTime", 0,
            id="counted from the start of the frame",
        ),
        pytest.param(
            [header(series="20260105 102000", acquisition="20260105 110000", DecayFactor="1.0127")], after(hours=2),
            "AcquisitionTime", 1, id="frame duration missing",
        ),
        pytest.param(
            [framed(factor_at(120))], 80_000 / 4e8, "injection", 1, id="START, but corrected to the injection"
        ),
        pytest.param(
            [framed(factor_at(0), DecayCorrection="ADMIN")], after(hours=2), "SeriesTime", 1,
            id="ADMIN, but corrected to the start",
        ),
    ],
)  # fmt: skip
def test_decay_factor_tells_the_time_of_decay_correction(headers, expected, tag, notes):
    suv = suv_of(headers)
    assert suv.factors == pytest.approx([expected] * len(headers), rel=1e-3)
    assert (suv.scan_tag, len(suv.notes)) == (tag, notes), suv.notes


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([framed("1.2")], id="no time fits"),
        pytest.param([framed("0.9")], id="after the scan"),
        pytest.param([framed("1e300")], id="absurd"),
        pytest.param([framed("NaN")], id="no number"),
        pytest.param([framed("1.3", DecayCorrection="ADMIN")], id="no time fits, ADMIN"),
        pytest.param(
            [framed(factor_at(0), f"20260105 11{4 * bed:02}00") for bed in range(6)], id="one factor for all beds"
        ),
        pytest.param([header(DecayFactor="1.2")], id="no time fits, frame duration missing"),
    ],
)
def test_a_decay_factor_that_fits_no_time_is_refused(headers):
    with pytest.raises(DicomError, match=r"Decay Factor \(0054,1321\)"):
        suv_of(headers)


def test_a_refused_decay_factor_is_shown_with_both_times():
    with pytest.raises(DicomError, match=r"implies decay correction to 2026-01-05 10:33:07.*Series Time.*11:00:00"):
        suv_of([framed("1.2")])


def test_admin_that_decay_factor_confirms_takes_the_dose_as_it_was_given():
    suv = suv_of([framed(factor_at(120), DecayCorrection="ADMIN")])
    assert suv.factor == pytest.approx(80_000 / 4e8) and suv.notes == ()


def test_without_decay_correction_each_slice_is_corrected_from_its_own_frame():
    beds = [
        framed(None, f"20260105 11{4 * bed:02}00", DecayCorrection="NONE", CorrectedImage="ATTN\\SCAT")
        for bed in (0, 5)
    ]
    suv = suv_of(beds)
    # The mean over four minutes of what decays from 1 at the injection.
    seconds = 7200 + np.linspace(0, 240, 100_001)
    first, second = (80_000 / (4e8 * np.mean(2.0 ** (-(seconds + shift) / HALF_LIFE_S))) for shift in (0, 1200))
    assert suv.factors == pytest.approx([first, second], rel=1e-7)
    assert suv.factor is None and "not decay corrected" in suv.notes[0]


@pytest.mark.parametrize("text", ["ANONYMIZED", "20260105", "05-01-2026 09:00:00", "20260105T090000", "19000101090000",
    "20260105000000", "20270105090000", "20260105080000+0000", "2026010509000", "20260132090000"])  # fmt: skip
def test_a_spoilt_injection_date_time_leaves_it_to_the_start_time(text):
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


def test_admin_takes_the_dose_as_it_was_given():
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


def test_what_the_factor_follows_from_is_kept_as_json():
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
