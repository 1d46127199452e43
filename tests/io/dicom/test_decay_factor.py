"""The Decay Factor of a slice tells to which time a series is decay corrected."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.helpers.dicom_series import put
from tests.helpers.suv_headers import HALF_LIFE_S, after, ge_scan, header
from wslpet.core.errors import DicomError
from wslpet.io.dicom.suv import suv_of


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


def test_admin_confirmed_by_decay_factor_uses_the_dose_without_decay():
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
