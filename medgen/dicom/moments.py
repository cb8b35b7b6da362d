"""Dates and times of headers, as moments that can be subtracted."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from pydicom.dataset import Dataset

from medgen.dicom.values import text_of

# PS3.5 section 6.2; the dots and colons are those of ACR-NEMA files.
_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})", re.ASCII)
_TIME = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?", re.ASCII)
_MOMENT = re.compile(r"(\d{8})(\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)([+-]\d{4})?", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})", re.ASCII)


def moment_of(header: Dataset, *, date: str, time: str, both: str = "") -> datetime | None:
    """Return the local moment that a DA and a TM attribute name together.

    `both` is a DT attribute that is asked where these name none. None where a part is missing or
    is no date or time.
    """
    day, hours = _parsed_date(text_of(header, date)), time_of(header, time)
    if day is not None and hours is not None:
        return day + hours
    return parsed_moment(text_of(header, both), header) if both else None


def time_of(header: Dataset, keyword: str) -> timedelta | None:
    """Return the time of day of a TM attribute, or None where it is missing or none."""
    return _parsed_time(text_of(header, keyword))


def parsed_moment(text: str, header: Dataset) -> datetime | None:
    """Return the local moment that a DT value names down to the hour at least, or None.

    Where it states an offset from UTC, that of the header (TimezoneOffsetFromUTC (0008,0201)) is
    needed to make it local; without it the moment is None.
    """
    match = _MOMENT.fullmatch(text.strip())
    if not match:
        return None
    day, hours = _parsed_date(match[1]), _parsed_time(match[2])
    if day is None or hours is None:
        return None
    moment = day + hours
    if match[3] is None:
        return moment
    local, stated = (
        _parsed_offset(offset) for offset in (text_of(header, "TimezoneOffsetFromUTC"), match[3])
    )
    return None if local is None or stated is None else moment - stated + local


def _parsed_date(text: str) -> datetime | None:
    match = _DATE.fullmatch(text)
    if not match or not 1800 <= int(match[1]) <= 9000:  # years that leave room for offsets
        return None
    try:
        return datetime(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None


def _parsed_time(text: str) -> timedelta | None:
    match = _TIME.fullmatch(text)
    if not match:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups()[:3])
    if hours > 23 or minutes > 59 or seconds > 60:
        return None
    microseconds = int((match[4] or "").ljust(6, "0"))
    return timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=microseconds)


def _parsed_offset(text: str) -> timedelta | None:
    match = _OFFSET.fullmatch(text)
    if not match:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return -offset if match[1] == "-" else offset
