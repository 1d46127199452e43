from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

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
