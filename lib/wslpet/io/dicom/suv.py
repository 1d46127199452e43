"""SUV by body weight (SUVbw, g/ml) from PET headers of any vendor, or a refusal that names the tag.

After the vendor-neutral rules of the QIBA FDG-PET profile. There is no default: a factor follows from the headers, or
there is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from pydicom.dataset import Dataset

from wslpet.core.errors import DicomError
from wslpet.io.dicom.headers import Header, Limits

WEIGHT_KG: Limits = (1.0, 700.0)
DOSE_BQ: Limits = (1e6, 1e10)
# Below, an FDG dose is in MBq.
DOSE_IN_MBQ = 10_000.0
HALF_LIFE_S: Limits = (10.0, 1e6)
# After so many half-lives nothing is left to see: a date, a time or the half-life is wrong.
MAX_HALF_LIVES = 10.0
PRIVATE_FACTOR: Limits = (0.0, 1e9)
PHILIPS = (0x7053, "Philips PET Private Group")
SUV_FACTOR, ACTIVITY_FACTOR = 0x00, 0x09
GE = (0x0009, "GEMS_PETD_01")
SCAN_DATE_TIME = 0x0D

DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})", re.ASCII)
TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(?:\.(\d+))?", re.ASCII)
ZONE = re.compile(r"[+-]\d{4}", re.ASCII)
DATE_TIME = re.compile(r"(\d{8})(\d{4,6}(?:\.\d+)?)([+-]\d{4})?", re.ASCII)
CORRECT = "correct the header, or send the series again from the scanner"


@dataclass(frozen=True)
class Suv:
    """How the stored values of a series become SUVbw, and what that follows from.

    Parameters
    ----------
    units : Units (0054,1001): BQML, CNTS or GML.
    factors : one per slice, in the order of the headers: SUV = (stored · slope + intercept) · factor.
    decay_correction : START or ADMIN.
    weight_kg, dose_bq, half_life_s, injected, scanned : what the factors follow from; None where they do not.
    scan_tag : the tag that `scanned` is from.
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

    @property
    def factor(self) -> float | None:
        """The factor of the series; None when its slices differ."""
        return self.factors[0] if len(set(self.factors)) == 1 else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `factor` is a number, or a list of one per slice where they differ."""
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
    """SUVbw of one series.

    Parameters
    ----------
    headers : of every slice, as the earliest acquisition counts; pixels are not needed.

    Raises
    ------
    DicomError
        when SUV cannot be known: naming the file, the tag, its value and what would mend it.
    """
    if not headers:
        raise DicomError("a series without files has no SUV; name its folder")
    slices = [Header(dataset) for dataset in headers]
    decay = _decay_correction(slices)
    units = _same(slices, "Units", lambda header: header.text("Units"))
    if units == "GML":
        _check_body_weight(slices[0])
        return Suv(units, (1.0,) * len(slices), decay)
    if units == "CNTS":
        factors = _philips(slices, SUV_FACTOR)
        if factors is not None:
            return Suv(units, factors, decay)
        return _from_activity(slices, units, decay, _counts_to_activity(slices))
    if units == "BQML":
        return _from_activity(slices, units, decay, (1.0,) * len(slices))
    problem = "none of BQML, CNTS and GML" if units else "missing"
    raise slices[0].refusal("Units", problem, "reconstruct or export the series in Bq/ml")


def is_attenuation_corrected(dataset: Dataset) -> bool:
    """Whether Corrected Image (0028,0051) holds ATTN."""
    return "ATTN" in Header(dataset).texts("CorrectedImage")


def _decay_correction(slices: list[Header]) -> str:
    for header in slices:
        corrections = header.texts("CorrectedImage")
        for needed, what in (("ATTN", "attenuation"), ("DECY", "decay")):
            if needed not in corrections:
                problem = f"without {needed}" if corrections else "missing"
                remedy = f"SUV needs {what} correction; send the corrected series"
                raise header.refusal("CorrectedImage", problem, remedy)
    decay = _same(slices, "DecayCorrection", lambda header: header.text("DecayCorrection"))
    if decay not in ("START", "ADMIN"):
        problem = "not START or ADMIN" if decay else "missing"
        raise slices[0].refusal("DecayCorrection", problem, "reconstruct the series with decay correction to its start")
    return decay


def _check_body_weight(header: Header) -> None:
    if header.text("SUVType") not in ("", "BW"):
        raise header.refusal("SUVType", "not BW", "export SUV by body weight, or the series in Bq/ml")


def _philips(slices: list[Header], element: int) -> tuple[float, ...] | None:
    """A factor per slice, or None when it is missing or 0 in all of them."""
    tags = [header.private(*PHILIPS, element) for header in slices]
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
    return tuple(found)


def _counts_to_activity(slices: list[Header]) -> tuple[float, ...]:
    factors = _philips(slices, ACTIVITY_FACTOR)
    if factors is None:
        raise slices[0].refusal(
            "Units",
            f"without SUV (7053,1000) or activity (7053,1009) scale factor of {PHILIPS[1]!r}",
            "send the series with its private tags, or export it in Bq/ml",
        )
    return factors


def _from_activity(slices: list[Header], units: str, decay: str, to_activity: tuple[float, ...]) -> Suv:
    weight = _same(slices, "PatientWeight", _weight)
    tracers = [header.item("RadiopharmaceuticalInformationSequence", CORRECT) for header in slices]
    dose = _same(tracers, "RadionuclideTotalDose", _dose)
    if decay == "ADMIN":  # the image is corrected to the injection, and so is the dose
        factors = tuple(factor * weight * 1000.0 / dose for factor in to_activity)
        return Suv(units, factors, decay, weight, dose)
    half_life = _same(tracers, "RadionuclideHalfLife", _half_life)
    scanned, tag = _scan_start(slices)
    injected = _injection(tracers, scanned, slices[0])
    half_lives = (scanned - injected).total_seconds() / half_life
    _check_elapsed(tracers[0], injected, scanned, half_lives)
    left = dose * 2.0**-half_lives
    factors = tuple(factor * weight * 1000.0 / left for factor in to_activity)
    return Suv(units, factors, decay, weight, dose, half_life, injected, scanned, tag)


def _weight(header: Header) -> float:
    return header.number("PatientWeight", WEIGHT_KG, "give the patient's weight in kg")


def _dose(tracer: Header) -> float:
    remedy = "give the dose in Bq at the time of injection"
    dose = tracer.number("RadionuclideTotalDose", (-1e300, 1e300), remedy)
    if 0 < dose < DOSE_IN_MBQ:
        raise tracer.refusal("RadionuclideTotalDose", "MBq written as Bq", remedy)
    return tracer.number("RadionuclideTotalDose", DOSE_BQ, remedy)


def _half_life(tracer: Header) -> float:
    return tracer.number("RadionuclideHalfLife", HALF_LIFE_S, "give the half-life in seconds")


def _scan_start(slices: list[Header]) -> tuple[datetime, str]:
    """The time that the series is decay corrected to, and its tag.

    The Series Time, unless it is after the earliest acquisition: then the series was made later, from other images.
    """
    acquired = min(_acquisition(header) for header in slices)
    told = _same(slices, "SeriesTime", lambda header: _date_and_time(header, "SeriesDate", "SeriesTime"))
    if told is not None and told <= acquired:
        return told, "SeriesTime"
    tag = slices[0].private(*GE, SCAN_DATE_TIME)
    if tag is not None and slices[0].text(tag):
        return _same(slices, tag, lambda header: _date_time(header, tag)[0]), "PET scan_datetime"
    return acquired, "AcquisitionTime"


def _acquisition(header: Header) -> datetime:
    moment = _date_and_time(header, "AcquisitionDate", "AcquisitionTime")
    if moment is None and header.text("AcquisitionDateTime"):
        moment = _date_time(header, "AcquisitionDateTime")[0]
    if moment is None:
        lacking = next(tag for tag in ("AcquisitionTime", "AcquisitionDate") if not header.text(tag))
        raise header.refusal(lacking, "missing", CORRECT)
    return moment


def _injection(tracers: list[Header], scanned: datetime, header: Header) -> datetime:
    """By its date-time, or by its time alone: on the scan's date, or the day before when that is after the scan.

    A date-time in a time zone counts only where the header says the zone of its other times.
    """
    here = _zone(header)

    def injection(tracer: Header) -> datetime | None:
        if not tracer.text("RadiopharmaceuticalStartDateTime"):
            return None
        moment, zone = _date_time(tracer, "RadiopharmaceuticalStartDateTime")
        if not zone:
            return moment
        return moment + _offset(here) - _offset(zone) if here else None

    moment = _same(tracers, "RadiopharmaceuticalStartDateTime", injection)
    if moment is not None:
        return moment

    def same_day(tracer: Header) -> datetime:
        tag = "RadiopharmaceuticalStartTime"
        if not tracer.text(tag):
            raise tracer.refusal(tag, "missing", "give the time of injection")
        return datetime.combine(scanned.date(), _time(tracer, tag, tracer.text(tag)))

    moment = _same(tracers, "RadiopharmaceuticalStartTime", same_day)
    return moment if moment <= scanned else moment - timedelta(days=1)


def _check_elapsed(tracer: Header, injected: datetime, scanned: datetime, half_lives: float) -> None:
    if 0 <= half_lives <= MAX_HALF_LIVES:
        return
    full = "RadiopharmaceuticalStartDateTime"
    tag = full if tracer.text(full) else "RadiopharmaceuticalStartTime"
    when = f"injection at {injected:%Y-%m-%d %H:%M:%S}, scan at {scanned:%Y-%m-%d %H:%M:%S}"
    if half_lives < 0:
        raise tracer.refusal(tag, f"after the scan ({when})", "correct the date and time of injection or scan")
    problem = f"{half_lives:.1f} half-lives before the scan ({when})"
    raise tracer.refusal(tag, problem, "correct the time of injection, of the scan, or the half-life")


def _date_and_time(header: Header, date_tag: str, time_tag: str) -> datetime | None:
    day, clock = header.text(date_tag), header.text(time_tag)
    if not (day and clock):
        return None
    return datetime.combine(_date(header, date_tag, day), _time(header, time_tag, clock))


def _date_time(header: Header, tag: str | int) -> tuple[datetime, str]:
    """The moment and its offset from UTC, as written, or ""."""
    found = DATE_TIME.fullmatch(header.text(tag))
    if not found:
        raise header.refusal(tag, "not a date and time", "write YYYYMMDDHHMMSS")
    day, clock, zone = found.groups()
    return datetime.combine(_date(header, tag, day), _time(header, tag, clock)), zone or ""


def _date(header: Header, tag: str | int, text: str) -> date:
    found = DATE.fullmatch(text)
    try:
        if not found:
            raise ValueError
        return date(*map(int, found.groups()))
    except ValueError:
        raise header.refusal(tag, "not a date", "write YYYYMMDD") from None


def _time(header: Header, tag: str | int, text: str) -> time:
    found = TIME.fullmatch(text)
    try:
        if not found:
            raise ValueError
        hour, minute, second, fraction = found.groups(default="0")
        return time(int(hour), int(minute), int(second), int(fraction[:6].ljust(6, "0")))
    except ValueError:
        raise header.refusal(tag, "not a time", "write HHMMSS") from None


def _zone(header: Header) -> str:
    zone = header.text("TimezoneOffsetFromUTC")
    if zone and not ZONE.fullmatch(zone):
        raise header.refusal("TimezoneOffsetFromUTC", "not an offset", "write it as +0100, or leave it out")
    return zone


def _offset(zone: str) -> timedelta:
    sign = -1 if zone.startswith("-") else 1
    return sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))


def _same(headers: list[Header], tag: str | int, read: Callable[[Header], Any]) -> Any:
    """What all slices say."""
    first = read(headers[0])
    for header in headers[1:]:
        if read(header) != first:
            problem = f"not that of {headers[0].file} ({headers[0].shown(tag)})"
            raise header.refusal(tag, problem, "keep one series, of one patient and injection, in a folder")
    return first
