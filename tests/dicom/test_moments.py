from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from medgen.dicom.moments import moment_of, parsed_moment, time_of
from medgen.dicom.values import quiet


def header(**said: str) -> Dataset:
    found = Dataset()
    with quiet():
        for keyword, value in said.items():
            setattr(found, keyword, value)
    return found


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)))
def test_what_is_written_is_read(moment: datetime) -> None:
    said = header(SeriesDate=f"{moment:%Y%m%d}", SeriesTime=f"{moment:%H%M%S.%f}")
    assert moment_of(said, date="SeriesDate", time="SeriesTime") == moment
    assert parsed_moment(f"{moment:%Y%m%d%H%M%S.%f}", said) == moment


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("101700", 37020.0),
        ("1017", 37020.0),
        ("10", 36000.0),
        ("10:17:00.5", 37020.5),
        ("101700.000001", 37020.000001),
        ("235960", 86400.0),
    ],
)
def test_times(text: str, seconds: float) -> None:
    assert time_of(header(SeriesTime=text), "SeriesTime") == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "240000", "106000", "1", "10170", "noon", "10-17", "١٠١٧٠٠"])
def test_what_is_no_time(text: str) -> None:
    assert time_of(header(SeriesTime=text), "SeriesTime") is None


@pytest.mark.parametrize("text", ["", "20010230", "20011301", "00010101", "99991231", "2001-02-03"])
def test_what_is_no_date(text: str) -> None:
    said = header(SeriesDate=text, SeriesTime="101700")
    assert moment_of(said, date="SeriesDate", time="SeriesTime") is None


def test_dates_of_old_files() -> None:
    said = header(SeriesDate="2001.02.03", SeriesTime="10:17")
    assert moment_of(said, date="SeriesDate", time="SeriesTime") == datetime(2001, 2, 3, 10, 17)


@pytest.mark.parametrize(
    ("text", "local", "expected"),
    [
        ("20010203101700+0200", "+0200", datetime(2001, 2, 3, 10, 17)),
        ("20010203101700+0200", "-0500", datetime(2001, 2, 3, 3, 17)),
        ("20010203001700+0200", "+0000", datetime(2001, 2, 2, 22, 17)),
        ("20010203101700-0330", "+0000", datetime(2001, 2, 3, 13, 47)),
        ("20010203101700+0200", "", None),
        ("20010203101700", "", datetime(2001, 2, 3, 10, 17)),
        ("20010203", "", None),
        ("200102031017000", "", None),
    ],
)
def test_offsets_from_utc(text: str, local: str, expected: datetime | None) -> None:
    assert parsed_moment(text, header(TimezoneOffsetFromUTC=local)) == expected


def test_both_is_asked_where_date_and_time_are_missing() -> None:
    said = header(AcquisitionDateTime="20010203101700", AcquisitionDate="20010203")
    words = {"date": "AcquisitionDate", "time": "AcquisitionTime"}
    assert moment_of(said, **words) is None
    found = moment_of(said, both="AcquisitionDateTime", **words)
    assert found == datetime(2001, 2, 3, 10, 17)
    said.AcquisitionTime = "111700"
    assert moment_of(said, both="AcquisitionDateTime", **words) == datetime(2001, 2, 3, 11, 17)
