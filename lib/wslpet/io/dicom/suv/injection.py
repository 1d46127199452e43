"""Time of injection, and reference time of the image's decay correction: SUV is corrected for the decay between."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from wslpet.core.errors import DicomError
from wslpet.io.dicom.headers import CORRECT, Header, Limits, same_in_all
from wslpet.io.dicom.suv.decay import (
    Frame,
    Reference,
    agreed,
    contradiction,
    frames_of,
    references,
    tells_reference,
    unconfirmed,
)
from wslpet.io.dicom.suv.times import date_time, offset, own_zone, time_of_day

HALF_LIFE_S: Limits = (10.0, 1e6)
# After this many half-lives no activity is left to measure: a date, a time or the half-life is wrong.
MAX_HALF_LIVES = 10.0
# Two injection times are the same when the activities they imply differ by less than this share.
SAME_INJECTION = 0.01
START_DATE_TIME, START_TIME = "RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStartTime"
MIDNIGHT, DAY = time(), timedelta(days=1)
ELAPSED = (
    "correct the date and time of injection or scan",
    "correct the time of injection, of the scan, or the half-life",
)
IN_WORDS = {
    START_DATE_TIME: "Radiopharmaceutical Start DateTime (0018,1078)",
    START_TIME: "Radiopharmaceutical Start Time (0018,1072)",
}


def moments_of_frames(frames: list[Frame], notes: list[str]) -> list[datetime]:
    """Time of average activity of each slice, to which a series without decay correction refers."""
    moments = []
    for frame in frames:
        if frame.average_s is None:
            remedy = "a series without decay correction needs it; send the corrected one"
            written = "not a duration" if frame.header.text("ActualFrameDuration") else "missing"
            raise frame.header.refusal("ActualFrameDuration", written, remedy)
        if tells_reference([frame]):
            raise frame.header.refusal("DecayFactor", "but Decay Correction (0054,1102) is NONE", CORRECT)
        moments.append(frame.acquired + timedelta(seconds=frame.average_s))
    notes.append(
        "The series is not decay corrected (Decay Correction (0054,1102) is NONE): each slice is corrected by its own "
        "Acquisition Time (0008,0032) and Actual Frame Duration (0018,1242)."
    )
    return moments


def reference(frames: list[Frame], tracers: list[Header], decay: str, notes: list[str]) -> Reference:
    """Reference time of decay correction: the most likely one, or the one that agrees with Decay Factor.

    Raises
    ------
    DicomError
        when Decay Factor agrees with none.
    """
    usual, others, why = references(frames)
    taken = f"{why}: decay correction is taken to be to {usual}." if why else ""
    if not tells_reference(frames):
        notes.extend(note for note in (taken, unconfirmed(frames, usual)) if note)
        return usual
    found = agreed(frames, [usual, *others])
    at_injection = _at_injection(frames, tracers, usual) if found is None and decay == "START" else None
    if found is None and at_injection is None:
        raise contradiction(frames, usual if decay == "START" else _injected(frames, tracers, usual))
    if decay == "ADMIN" or at_injection is not None:
        said = f"Decay Correction (0054,1102), which is {decay}"
    elif found == usual:
        notes.extend([taken] if taken else [])
        return usual
    else:
        said = str(usual)
    chosen = found or at_injection
    assert chosen is not None
    notes.append(f"Decay Factor (0054,1321) does not fit {said}, but {chosen}: decay is corrected to that.")
    return chosen


def _at_injection(frames: list[Frame], tracers: list[Header], usual: Reference) -> Reference | None:
    """Injection as reference time, when the header gives it and Decay Factor agrees; else None."""
    try:
        return agreed(frames, [_injected(frames, tracers, usual)])
    except DicomError:
        return None


def _injected(frames: list[Frame], tracers: list[Header], usual: Reference) -> Reference:
    injected, _ = injection(tracers, frames[0].header, frames[0].half_life_s, usual.moment)
    return Reference("injection", injected)


def denies_injection(slices: list[Header], tracers: list[Header]) -> bool:
    """Whether Decay Factor contradicts decay correction to the injection."""
    try:
        frames = frames_of(slices, same_in_all(tracers, "RadionuclideHalfLife", half_life_of))
        usual, _, _ = references(frames)
        return tells_reference(frames) and agreed(frames, [_injected(frames, tracers, usual)]) is None
    except DicomError:  # times that are not needed for ADMIN
        return False


def injection(tracers: list[Header], header: Header, half_life: float, scanned: datetime) -> tuple[datetime, list[str]]:
    """Time of injection, and notes on what was inferred.

    From Radiopharmaceutical Start DateTime. Where that is missing, in an unknown time zone, after the scan or long
    before it, from Start Time alone: on the date of the scan, or on the day before if it would be after the scan.
    """
    tracer, words = tracers[0], IN_WORDS[START_TIME]
    full, trouble, remedy = _full_injection(tracers, header, half_life, scanned)
    if full is None and not tracer.text(START_TIME):
        wrong = START_DATE_TIME if tracer.text(START_DATE_TIME) else START_TIME
        raise tracer.refusal(wrong, trouble, remedy)
    if full is not None:
        return full, _differing(tracer, full, half_life)
    clock = same_in_all(tracers, START_TIME, lambda tracer: time_of_day(tracer, START_TIME))
    moment = datetime.combine(scanned.date(), clock)
    moment, day = (moment, "on the day of the scan") if moment <= scanned else (moment - DAY, "the day before the scan")
    off = _implausible(moment, scanned, half_life)
    if off:
        wrong = START_DATE_TIME if remedy in ELAPSED else START_TIME
        raise tracer.refusal(wrong, *((trouble, remedy) if wrong == START_DATE_TIME else off))
    written = "is missing" if trouble == "missing" else f"is {tracer.shown(START_DATE_TIME)}, {trouble}"
    return moment, [f"{IN_WORDS[START_DATE_TIME]} {written}: {words} is taken, {clock:%H:%M:%S}, {day}."]


def _full_injection(
    tracers: list[Header], header: Header, half_life: float, scanned: datetime
) -> tuple[datetime | None, str, str]:
    """Time in Start DateTime; or None, what is wrong with it and how to correct it."""
    here = own_zone(header)

    def read(tracer: Header) -> tuple[datetime, str] | str:
        try:
            return date_time(tracer, START_DATE_TIME)
        except DicomError:
            return tracer.text(START_DATE_TIME)

    found = same_in_all(tracers, START_DATE_TIME, read)
    if isinstance(found, str):
        trouble = (
            ("not a date and time", "write YYYYMMDDHHMMSS") if found else ("missing", "give the time of injection")
        )
        return None, *trouble
    moment, zone = found
    if zone and not here:
        return None, "in a time zone, and the header does not tell its own (0008,0201)", "give the time of injection"
    moment = moment + offset(here) - offset(zone) if zone else moment
    off = _implausible(moment, scanned, half_life)
    if off:
        return None, *off
    if not zone and moment.time() == MIDNIGHT and _clock(tracers[0]) not in (None, MIDNIGHT):
        return None, "a date without its time", "give the time of injection"
    return moment, "", ""


def _clock(tracer: Header) -> time | None:
    """Start Time; None when it is missing or not a time."""
    try:
        return time_of_day(tracer, START_TIME)
    except DicomError:
        return None


def _differing(tracer: Header, injected: datetime, half_life: float) -> list[str]:
    """Note that Start Time and Start DateTime disagree, of which the latter is used; empty when they agree."""
    clock = _clock(tracer)
    if clock is None:
        return []
    apart = abs((datetime.combine(injected.date(), clock) - injected).total_seconds())
    if 2.0 ** (min(apart, DAY.total_seconds() - apart) / half_life) - 1 <= SAME_INJECTION:
        return []
    return [
        f"{IN_WORDS[START_TIME]} is {clock:%H:%M:%S}, {IN_WORDS[START_DATE_TIME]} is {injected:%Y-%m-%d %H:%M:%S}: the "
        "latter is taken."
    ]


def _implausible(injected: datetime, scanned: datetime, half_life: float) -> tuple[str, str] | None:
    """What is wrong with a time of injection and how to correct it; None when it is plausible."""
    half_lives = (scanned - injected).total_seconds() / half_life
    if 0 <= half_lives <= MAX_HALF_LIVES:
        return None
    when = f"injection at {injected:%Y-%m-%d %H:%M:%S}, scan at {scanned:%Y-%m-%d %H:%M:%S}"
    if half_lives < 0:
        return f"after the scan ({when})", ELAPSED[0]
    return f"{half_lives:.1f} half-lives before the scan ({when})", ELAPSED[1]


def half_life_of(tracer: Header) -> float:
    """Radionuclide Half Life, s."""
    return tracer.number("RadionuclideHalfLife", HALF_LIFE_S, "give the half-life in seconds")
