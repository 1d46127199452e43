"""Headers of a PET slice with known dose, weight and times, for tests of SUV."""

from __future__ import annotations

from datetime import timedelta

from pydicom.dataset import Dataset

from tests.helpers.dicom_series import put

HALF_LIFE_S = 6586.2


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
