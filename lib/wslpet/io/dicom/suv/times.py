"""Parse dates and times of a DICOM header (PS3.5 6.2: DA, TM, DT)."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta

from wslpet.io.dicom.headers import Header

DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})", re.ASCII)
TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(?:\.(\d+))?", re.ASCII)
ZONE = re.compile(r"[+-]\d{4}", re.ASCII)
DATE_TIME = re.compile(r"(\d{8})(\d{4,6}(?:\.\d+)?)([+-]\d{4})?", re.ASCII)


def date_and_time(header: Header, date_tag: str, time_tag: str) -> datetime | None:
    """Combine a date (DA) and a time (TM); None when one of them is missing."""
    day, clock = header.text(date_tag), header.text(time_tag)
    if not (day and clock):
        return None
    return datetime.combine(_date(header, date_tag, day), time_of_day(header, time_tag))


def date_time(header: Header, tag: str | int) -> tuple[datetime, str]:
    """Parse a DT: date and time as written, and its offset from UTC, "" if none."""
    found = DATE_TIME.fullmatch(header.text(tag))
    if not found:
        raise header.refusal(tag, "not a date and time", "write YYYYMMDDHHMMSS")
    day, clock, zone = found.groups()
    return datetime.combine(_date(header, tag, day), _time(header, tag, clock)), zone or ""


def time_of_day(header: Header, tag: str | int) -> time:
    """Parse a TM; raises DicomError when it is not a time."""
    return _time(header, tag, header.text(tag))


def own_zone(header: Header) -> str:
    """Timezone Offset From UTC (0008,0201), "" if none; raises DicomError when it is not an offset."""
    zone = header.text("TimezoneOffsetFromUTC")
    if zone and not ZONE.fullmatch(zone):
        raise header.refusal("TimezoneOffsetFromUTC", "not an offset", "write it as +0100, or leave it out")
    return zone


def offset(zone: str) -> timedelta:
    """Parse an offset from UTC such as +0100."""
    sign = -1 if zone.startswith("-") else 1
    return sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))


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
