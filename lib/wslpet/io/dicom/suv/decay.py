"""Reference time of decay correction of a PET series, checked against Decay Factor (PS3.3 C.8.9.1, C.8.9.4).

Decay Factor (0054,1321) of a frame is 2^((t - reference) / half-life). By the QIBA FDG-PET profile, t is
when the activity equals its average over the frame; some scanners use the start of the frame instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from wslpet.core.errors import DicomError
from wslpet.io.dicom.headers import CORRECT, Header, Limits, same_in_all
from wslpet.io.dicom.suv.times import date_and_time, date_time

GE = (0x0009, "GEMS_PETD_01")
SCAN_DATE_TIME = 0x0D
DECAY_FACTOR: Limits = (0.0, 1e6)
MILLISECONDS: Limits = (0.0, 1e9)
# Tolerance between a reference time and Decay Factor, as a relative error of SUV.
TOLERANCE = 0.01
# Times are often rounded to seconds, which exceeds that tolerance for half-lives of minutes.
ROUNDING_S = 1.0
# Longest frame assumed where the header does not give its duration.
LONGEST_FRAME_S = 600.0
NAMES = {
    "SeriesTime": "Series Time (0008,0031)",
    "PET scan_datetime": "GE's PET scan_datetime (0009,100d)",
    "FrameReferenceTime": "Acquisition Time (0008,0032) less Frame Reference Time (0054,1300)",
    "AcquisitionTime": "the earliest Acquisition Time (0008,0032)",
    "StudyTime": "Study Time (0008,0030)",
    "injection": "the injection",
}


@dataclass(frozen=True)
class Reference:
    """A candidate for the reference time of decay correction, and the header element it is from: a key of `NAMES`."""

    tag: str
    moment: datetime

    def __str__(self) -> str:
        return f"{NAMES[self.tag]}, {self.moment:%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True)
class Frame:
    """Acquisition timing of one slice.

    Parameters
    ----------
    acquired : start of the frame.
    duration_s : Actual Frame Duration (0018,1242); None when it is missing or no number.
    offset_s : Frame Reference Time (0054,1300), from the reference to the average activity; None as `duration_s`.
    factor : Decay Factor (0054,1321); None when it is missing or 0.
    half_life_s : of the tracer.
    """

    header: Header
    acquired: datetime
    duration_s: float | None
    offset_s: float | None
    factor: float | None
    half_life_s: float

    @property
    def average_s(self) -> float | None:
        """Seconds from the start of the frame to when the activity equals its average; None if unknown."""
        if self.duration_s is None:
            return None
        constant = math.log(2) / self.half_life_s
        decay = constant * self.duration_s
        return math.log(decay / -math.expm1(-decay)) / constant

    def factor_for(self, reference: datetime, into_s: float) -> float:
        """Decay Factor for a reference time, evaluated `into_s` seconds after the start of the frame."""
        seconds = (self.acquired - reference).total_seconds() + into_s
        return float(2.0 ** min(max(seconds / self.half_life_s, -1000.0), 1000.0))


def frames_of(slices: Sequence[Header], half_life_s: float) -> list[Frame]:
    """Acquisition timing of each slice.

    Raises
    ------
    DicomError
        when an acquisition time is missing, or Decay Factor is not a number.
    """
    return [
        Frame(
            header,
            _acquisition(header),
            _seconds(header, "ActualFrameDuration"),
            _seconds(header, "FrameReferenceTime"),
            header.optional_number("DecayFactor", DECAY_FACTOR, CORRECT) or None,
            half_life_s,
        )
        for header in slices
    ]


def references(frames: Sequence[Frame]) -> tuple[Reference, list[Reference], str]:
    """Most likely reference time, the other candidates, and why the first is not Series Time ("" if it is).

    It is Series Time unless that is after the earliest acquisition: then the series was derived from other images.
    """
    slices = [frame.header for frame in frames]
    acquired = Reference("AcquisitionTime", min(frame.acquired for frame in frames))
    series = same_in_all(slices, "SeriesTime", lambda header: date_and_time(header, "SeriesDate", "SeriesTime"))
    found = [_ge_scan(slices), _by_frame_reference(frames), acquired]
    known = [reference for reference in found if reference is not None]
    others = [*known, *_study(slices[0])]
    if series is not None:
        series_time = Reference("SeriesTime", series)
        if series <= acquired.moment:
            return series_time, others, ""
        why = f"{series_time} is after the first acquisition ({acquired.moment:%H:%M:%S})"
        return known[0], [other for other in [series_time, *others] if other != known[0]], why
    return known[0], [other for other in others if other != known[0]], "Series Time (0008,0031) is missing"


def tells_reference(frames: Sequence[Frame]) -> bool:
    """Whether Decay Factor is informative: exporters that do not compute it write 1 in every slice."""
    return any(frame.factor is not None and abs(frame.factor - 1) > 1e-6 for frame in frames)


def agreed(frames: Sequence[Frame], candidates: Sequence[Reference]) -> Reference | None:
    """Candidate that agrees with Decay Factor: the first if it does, else the closest; None when none does.

    Agreement at the average activity of the frame takes precedence over agreement at the start of the frame.
    """
    for from_start in (False, True):
        fitting = [one for one in candidates if _misfit(frames, one, from_start) is None]
        if fitting and fitting[0] == candidates[0]:
            return candidates[0]
        if fitting:
            first = _earliest(frames)
            into = 0.0 if from_start else first.average_s or 0.0
            return min(fitting, key=lambda one: abs(math.log(first.factor_for(one.moment, into) / (first.factor or 1))))
    return None


def contradiction(frames: Sequence[Frame], reference: Reference) -> DicomError:
    """DicomError for a series whose Decay Factor agrees with no candidate; `reference` is the most likely one."""
    misfits = _misfit(frames, reference, False), _misfit(frames, reference, True)
    frame = next(frame for frame in misfits if frame is not None)
    assert frame.factor is not None
    implied = frame.acquired + timedelta(seconds=(frame.average_s or 0.0) - math.log2(frame.factor) * frame.half_life_s)
    problem = f"which implies decay correction to {implied:%Y-%m-%d %H:%M:%S}, but the header says {reference}"
    return frame.header.refusal("DecayFactor", problem, CORRECT)


def unconfirmed(frames: Sequence[Frame], reference: Reference) -> str:
    """Note that Series Time is assumed as reference, unconfirmed by another element; "" when it is confirmed."""
    first = min(frames, key=lambda frame: frame.acquired)
    by_frame = _by_frame_reference(frames)
    if reference.tag != "SeriesTime" or (by_frame is not None and _near(first, reference.moment, by_frame.moment)):
        return ""
    if _near(first, reference.moment, first.acquired):
        return ""
    ge = _ge_scan([first.header])
    if ge is not None and _near(first, reference.moment, ge.moment):
        return ""
    minutes = (first.acquired - reference.moment).total_seconds() / 60
    said = f"; {by_frame} differs" if by_frame is not None else ""
    return (
        f"Decay correction is taken to be to {reference}, {minutes:.0f} min before the first acquisition: no "
        f"Decay Factor (0054,1321) confirms it{said}."
    )


def _misfit(frames: Sequence[Frame], reference: Reference, from_start: bool) -> Frame | None:
    """First frame whose Decay Factor disagrees with a reference; None when all agree.

    The earliest frame has to agree within the tolerance. The others may also differ by the decay during one frame,
    since slices in the overlap of two bed positions combine both. Where all slices have the same acquisition time,
    their bed position is unknown, and only the earliest is checked.
    """
    telling = [frame for frame in frames if frame.factor is not None]
    first = _earliest(telling)
    if not _fits(first, reference.moment, from_start, 0.0):
        return first
    if len({frame.acquired for frame in telling}) == 1:
        return None
    for frame in telling:
        in_frame = 2.0 ** ((frame.duration_s or LONGEST_FRAME_S) / frame.half_life_s) - 1
        if not _fits(frame, reference.moment, from_start, in_frame):
            return frame
    return None


def _earliest(frames: Sequence[Frame]) -> Frame:
    """Earliest frame with a known Decay Factor."""
    return min((f for f in frames if f.factor is not None), key=lambda f: (f.acquired, f.factor))


def _fits(frame: Frame, reference: datetime, from_start: bool, more: float) -> bool:
    assert frame.factor is not None
    tolerance = _tolerance(frame) + more
    average = 0.0 if from_start else frame.average_s
    # In a frame of unknown duration, the average may lie anywhere in the first half.
    earliest, latest = (0.0, LONGEST_FRAME_S / 2) if average is None else (average, average)
    low, high = frame.factor_for(reference, earliest), frame.factor_for(reference, latest)
    return low * (1 - tolerance) <= frame.factor <= high * (1 + tolerance)


def _near(frame: Frame, one: datetime, two: datetime) -> bool:
    decay = 2.0 ** min(abs((one - two).total_seconds()) / frame.half_life_s, 1000.0)
    return bool(decay - 1 <= _tolerance(frame))


def _tolerance(frame: Frame) -> float:
    return max(TOLERANCE, float(2.0 ** (ROUNDING_S / frame.half_life_s)) - 1)


def _ge_scan(slices: Sequence[Header]) -> Reference | None:
    is_ge = slices[0].text("Manufacturer").upper().startswith("GE")
    tag = slices[0].private(*GE, SCAN_DATE_TIME, or_without_creator=is_ge)
    if tag is None or not slices[0].text(tag):
        return None
    return Reference("PET scan_datetime", same_in_all(list(slices), tag, lambda header: date_time(header, tag)[0]))


def _by_frame_reference(frames: Sequence[Frame]) -> Reference | None:
    """Reference from Frame Reference Time, counted back from the average activity (QIBA); None unless slices agree."""
    moments = []
    for frame in frames:
        if not frame.offset_s or frame.average_s is None:
            return None
        moments.append(frame.acquired + timedelta(seconds=frame.average_s - frame.offset_s))
    return Reference("FrameReferenceTime", min(moments)) if _near(frames[0], min(moments), max(moments)) else None


def _study(header: Header) -> list[Reference]:
    """Study Time as a candidate: late series of an examination are often corrected to the start of the examination."""
    try:
        moment = date_and_time(header, "StudyDate", "StudyTime")
    except DicomError:  # only a further candidate: not an error
        return []
    return [] if moment is None else [Reference("StudyTime", moment)]


def _acquisition(header: Header) -> datetime:
    moment = date_and_time(header, "AcquisitionDate", "AcquisitionTime")
    if moment is None and header.text("AcquisitionDateTime"):
        moment = date_time(header, "AcquisitionDateTime")[0]
    if moment is None:
        lacking = next(tag for tag in ("AcquisitionTime", "AcquisitionDate") if not header.text(tag))
        raise header.refusal(lacking, "missing", CORRECT)
    return moment


def _seconds(header: Header, tag: str) -> float | None:
    """Element in milliseconds, as seconds; None when missing, 0 or not a number: it only confirms other elements."""
    try:
        return (header.optional_number(tag, MILLISECONDS, CORRECT) or 0.0) / 1000 or None
    except DicomError:
        return None
