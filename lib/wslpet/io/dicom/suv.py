"""SUV by body weight (SUVbw, g/ml) from PET headers of any vendor, or a refusal that names the tag.

By the vendor-neutral rules of the QIBA FDG-PET profile. There are no defaults: the factor follows from the headers, or
the series is refused. What is inferred rather than read is noted in a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from pydicom.dataset import Dataset

from wslpet.core.errors import DicomError
from wslpet.io.dicom.body_measures import MEASURES
from wslpet.io.dicom.decay import (
    Frame,
    Reference,
    agreed,
    contradiction,
    frames_of,
    references,
    tells_reference,
    unconfirmed,
)
from wslpet.io.dicom.headers import CORRECT, Header, Limits, same_in_all
from wslpet.io.dicom.times import date_time, offset, own_zone, time_of_day

WEIGHT_KG: Limits = (1.0, 700.0)
SIZE_M: Limits = (0.3, 2.6)
DOSE_BQ: Limits = (1e6, 1e10)
# Doses below the first are not in Bq. From the second to the first they are in MBq; below it, in MBq or mCi.
NO_DOSE_IN_BQ, DOSE_IN_MBQ = 10_000.0, 50.0
HALF_LIFE_S: Limits = (10.0, 1e6)
# After this many half-lives no activity is left to measure: a date, a time or the half-life is wrong.
MAX_HALF_LIVES = 10.0
# Two injection times are the same when the activities they imply differ by less than this share.
SAME_INJECTION = 0.01
PRIVATE_FACTOR: Limits = (0.0, 1e9)
PHILIPS = (0x7053, "Philips PET Private Group")
SUV_FACTOR, ACTIVITY_FACTOR = 0x00, 0x09
# Plausible range of a body size measure, as a share of the body weight.
MEASURE_SHARE: Limits = (0.05, 5.0)
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


@dataclass(frozen=True)
class Suv:
    """Conversion of the stored values of a series to SUVbw, and what it was computed from.

    Parameters
    ----------
    units : Units (0054,1001): BQML, CNTS, GML or CM2ML.
    factors : one per slice, in the order of the headers: SUV = (stored · slope + intercept) · factor.
    decay_correction : START, ADMIN or NONE, as the header says.
    weight_kg, dose_bq, half_life_s, injected, scanned : what the factors were computed from; None where not needed.
    scan_tag : the element from which `scanned`, the reference time of decay correction, was taken.
    notes : what was inferred rather than read, a sentence each.
    """

    units: str
    factors: tuple[float, ...]
    decay_correction: str
    weight_kg: float | None = None
    dose_bq: float | None = None
    half_life_s: float | None = None
    injected: datetime | None = None
    scanned: datetime | None = None
    scan_tag: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def factor(self) -> float | None:
        """The factor of the series; None when its slices differ."""
        return self.factors[0] if len(set(self.factors)) == 1 else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, but for the notes; `factor` is a number, or a list of one per slice where they differ."""
        return {
            "units": self.units,
            "factor": list(self.factors) if self.factor is None else self.factor,
            "decay_correction": self.decay_correction,
            "weight_kg": self.weight_kg,
            "dose_bq": self.dose_bq,
            "half_life_s": self.half_life_s,
            "injected": self.injected and self.injected.isoformat(),
            "scanned": self.scanned and self.scanned.isoformat(),
            "scan_tag": self.scan_tag,
        }


def suv_of(headers: Sequence[Dataset]) -> Suv:
    """Compute the SUVbw factors of one series.

    Parameters
    ----------
    headers : of every slice, since the earliest acquisition time is needed; without pixels.

    Raises
    ------
    DicomError
        when SUV cannot be computed: naming the file, the tag, its value and how to correct it.
    """
    if not headers:
        raise DicomError("a series without files has no SUV; name its folder")
    slices = [Header(dataset) for dataset in headers]
    decay = _decay_correction(slices)
    units = same_in_all(slices, "Units", lambda header: header.text("Units"))
    notes: list[str] = []
    if units in ("GML", "CM2ML"):
        _check_corrected(slices, decay)
        factor, weight = _from_other_suv(slices, units, notes)
        return Suv(units, (factor,) * len(slices), decay, weight, notes=tuple(notes))
    if units == "CNTS":
        factors = _philips(slices, SUV_FACTOR, notes)
        if factors is not None:
            _check_corrected(slices, decay)
            return Suv(units, factors, decay, notes=tuple(notes))
        return _from_activity(slices, units, decay, _counts_to_activity(slices, notes), notes)
    if units == "BQML":
        return _from_activity(slices, units, decay, (1.0,) * len(slices), notes)
    problem = "none of BQML, CNTS, GML and CM2ML" if units else "missing"
    raise slices[0].refusal("Units", problem, "reconstruct or export the series in Bq/ml")


def is_attenuation_corrected(dataset: Dataset) -> bool:
    """Whether Corrected Image (0028,0051) holds ATTN."""
    return "ATTN" in Header(dataset).texts("CorrectedImage")


def _decay_correction(slices: list[Header]) -> str:
    """Decay Correction: START, ADMIN, or NONE when Corrected Image confirms that there is none."""
    decay = same_in_all(slices, "DecayCorrection", lambda header: header.text("DecayCorrection"))
    for header in slices:
        corrections = header.texts("CorrectedImage")
        for needed, what in (("ATTN", "attenuation"), ("DECY", "decay")):
            if needed not in corrections and not (needed == "DECY" and corrections and decay == "NONE"):
                problem = f"without {needed}" if corrections else "missing"
                remedy = f"SUV needs {what} correction; send the corrected series"
                raise header.refusal("CorrectedImage", problem, remedy)
        if decay == "NONE" and "DECY" in corrections:
            raise header.refusal("DecayCorrection", f"but Corrected Image is {header.shown('CorrectedImage')}", CORRECT)
    if decay not in ("START", "ADMIN", "NONE"):
        problem = "not START, ADMIN or NONE" if decay else "missing"
        raise slices[0].refusal("DecayCorrection", problem, "reconstruct the series with decay correction to its start")
    return decay


def _check_corrected(slices: list[Header], decay: str) -> None:
    """Refuse a series in SUV without decay correction: its reference time would be unknown."""
    if decay == "NONE":
        raise slices[0].refusal("DecayCorrection", "of a series in SUV", "export the series in Bq/ml")


def _from_other_suv(slices: list[Header], units: str, notes: list[str]) -> tuple[float, float | None]:
    """Factor from SUV of the header's SUV Type to SUVbw, and the weight where it was needed."""
    kind = same_in_all(slices, "SUVType", lambda header: header.text("SUVType"))
    kind = kind or {"GML": "BW", "CM2ML": "BSA"}[units]
    if kind == "BW" and units == "GML":
        return 1.0, None
    measure = MEASURES.get(kind)
    remedy = "export SUV by body weight, or the series in Bq/ml"
    if measure is None:
        raise slices[0].refusal("SUVType", f"none of BW, {', '.join(MEASURES)}", remedy)
    if measure.units != units:
        raise slices[0].refusal("SUVType", f"which is not in {units}", remedy)
    weight = same_in_all(slices, "PatientWeight", _weight)
    size = same_in_all(slices, "PatientSize", _size)
    sex = same_in_all(slices, "PatientSex", lambda header: header.text("PatientSex"))
    if sex not in ("M", "F", "O"):
        problem = "none of M, F and O" if sex else "missing"
        raise slices[0].refusal("PatientSex", problem, f"SUV by {measure.name} needs it; {remedy}")
    norm = measure.value(weight, size, sex)
    if not MEASURE_SHARE[0] <= norm / weight <= MEASURE_SHARE[1]:
        raise slices[0].refusal("PatientSize", f"no height for {weight:g} kg and {measure.name}", remedy)
    both = ", the mean of the men's and the women's formula" if sex == "O" and measure.men != measure.women else ""
    shown = f"{norm:.1f} kg" if units == "GML" else f"{norm / 10:.2f} m²"
    notes.append(
        f"The series is SUV by {measure.name}: turned into SUV by body weight with {weight:g} kg and {shown}{both}."
    )
    return weight / norm, weight


def _philips(slices: list[Header], element: int, notes: list[str]) -> tuple[float, ...] | None:
    """Philips' private scale factor of each slice; None when it is missing or 0 in all of them."""
    tags = [header.private(*PHILIPS, element, or_without_creator=True) for header in slices]
    found = [
        header.number(tag, PRIVATE_FACTOR, CORRECT) if tag is not None and header.text(tag) else 0.0
        for header, tag in zip(slices, tags, strict=True)
    ]
    if not any(found):
        return None
    if not all(found):
        lacking = slices[found.index(0.0)]
        tag = (PHILIPS[0] << 16) + 0x1000 + element
        problem = "but not 0 in other slices" if lacking.text(tag) else "missing"
        raise lacking.refusal(tag, problem, CORRECT)
    if any(header.private(*PHILIPS, element) is None for header in slices):
        notes.append(
            f"(7053,10{element:02x}) is taken for Philips' scale factor, though the header lacks the private creator "
            f"{PHILIPS[1]!r}."
        )
    return tuple(found)


def _counts_to_activity(slices: list[Header], notes: list[str]) -> tuple[float, ...]:
    factors = _philips(slices, ACTIVITY_FACTOR, notes)
    if factors is None:
        raise slices[0].refusal(
            "Units",
            f"without SUV (7053,1000) or activity (7053,1009) scale factor of {PHILIPS[1]!r}",
            "send the series with its private tags, or export it in Bq/ml",
        )
    return factors


def _from_activity(
    slices: list[Header], units: str, decay: str, to_activity: tuple[float, ...], notes: list[str]
) -> Suv:
    weight = same_in_all(slices, "PatientWeight", _weight)
    tracers = [header.item("RadiopharmaceuticalInformationSequence", CORRECT) for header in slices]
    dose = same_in_all(tracers, "RadionuclideTotalDose", _dose)
    if dose != tracers[0].number("RadionuclideTotalDose", (-1e300, 1e300), CORRECT):
        notes.append(
            f"Radionuclide Total Dose (0018,1074) is {tracers[0].shown('RadionuclideTotalDose')}, which can be no Bq: "
            f"taken for MBq."
        )
    if decay == "ADMIN" and not _denies_injection(slices, tracers):
        # Image and dose are both corrected to the injection, so no times are needed.
        factors = tuple(factor * weight * 1000.0 / dose for factor in to_activity)
        return Suv(units, factors, decay, weight, dose, notes=tuple(notes))
    half_life = same_in_all(tracers, "RadionuclideHalfLife", _half_life)
    frames = frames_of(slices, half_life)
    if decay == "NONE":
        moments = _moments_of_frames(frames, notes)
        told = Reference("AcquisitionTime", min(frame.acquired for frame in frames))
    else:
        told = _reference(frames, tracers, decay, notes)
        moments = [told.moment] * len(frames)
    injected, inferred = _injection(tracers, slices[0], half_life, told.moment)
    left = [dose * 2.0 ** (-(moment - injected).total_seconds() / half_life) for moment in moments]
    factors = tuple(factor * weight * 1000.0 / rest for factor, rest in zip(to_activity, left, strict=True))
    return Suv(units, factors, decay, weight, dose, half_life, injected, told.moment, told.tag, (*notes, *inferred))


def _weight(header: Header) -> float:
    return header.number("PatientWeight", WEIGHT_KG, "give the patient's weight in kg")


def _size(header: Header) -> float:
    return header.number("PatientSize", SIZE_M, "give the patient's height in m, or export SUV by body weight")


def _dose(tracer: Header) -> float:
    """Radionuclide Total Dose in Bq; an implausibly small value is taken as MBq, or refused where it may be mCi."""
    remedy = "give the dose in Bq at the time of injection"
    dose = tracer.number("RadionuclideTotalDose", (-1e300, 1e300), remedy)
    if DOSE_IN_MBQ <= dose < NO_DOSE_IN_BQ:
        return dose * 1e6
    if 0 < dose < DOSE_IN_MBQ:
        raise tracer.refusal("RadionuclideTotalDose", "MBq or mCi written as Bq", remedy)
    return tracer.number("RadionuclideTotalDose", DOSE_BQ, remedy)


def _half_life(tracer: Header) -> float:
    return tracer.number("RadionuclideHalfLife", HALF_LIFE_S, "give the half-life in seconds")


def _moments_of_frames(frames: list[Frame], notes: list[str]) -> list[datetime]:
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


def _reference(frames: list[Frame], tracers: list[Header], decay: str, notes: list[str]) -> Reference:
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
    injected, _ = _injection(tracers, frames[0].header, frames[0].half_life_s, usual.moment)
    return Reference("injection", injected)


def _denies_injection(slices: list[Header], tracers: list[Header]) -> bool:
    """Whether Decay Factor contradicts decay correction to the injection."""
    try:
        frames = frames_of(slices, same_in_all(tracers, "RadionuclideHalfLife", _half_life))
        usual, _, _ = references(frames)
        return tells_reference(frames) and agreed(frames, [_injected(frames, tracers, usual)]) is None
    except DicomError:  # times that are not needed for ADMIN
        return False


def _injection(
    tracers: list[Header], header: Header, half_life: float, scanned: datetime
) -> tuple[datetime, list[str]]:
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
