import logging
import math
import threading
import warnings

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, MRImageStorage, SecondaryCaptureImageStorage

from medgen.dicom.values import (
    class_name,
    contradicts_class,
    items_of,
    modality_of,
    number_of,
    numbers_of,
    quiet,
    text_of,
    texts_of,
    value_of,
    whole_of,
)


def raw(keyword: str, kind: str, value: bytes) -> Dataset:
    """Return a header as it is read: the element's bytes are not converted yet."""
    header = Dataset()
    tag = Tag(keyword)
    header[tag] = RawDataElement(tag, kind, len(value), value, 0, False, True, True)
    return header


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (b"1.5 ", 1.5),
        (b"", None),
        (b"  ", None),
        (b"JANE", math.nan),
        (b"1\\2", math.nan),
        (b"1e999", math.inf),
        (b"-0", 0.0),
    ],
)
def test_numbers(value: bytes, number: float | None) -> None:
    header = raw("PatientWeight", "DS", value)
    found = number_of(header, "PatientWeight")
    assert found == number or (number is not None and math.isnan(number) and math.isnan(found or 0))


def test_several_numbers() -> None:
    assert numbers_of(raw("PixelSpacing", "DS", b"0.5\\0.25"), "PixelSpacing") == (0.5, 0.25)
    assert numbers_of(Dataset(), "PixelSpacing") == ()


@pytest.mark.parametrize(
    ("value", "whole"), [(b"12", 12), (b"12.0", 12), (b"1.5", None), (b"x", None), (b"", None)]
)
def test_whole_numbers(value: bytes, whole: int | None) -> None:
    assert whole_of(raw("NumberOfFrames", "IS", value), "NumberOfFrames") == whole


def test_texts_are_stripped_and_upper_case() -> None:
    header = raw("ImageType", "CS", b"Original \\primary\\ ")
    assert texts_of(header, "ImageType") == ("ORIGINAL", "PRIMARY", "")
    assert text_of(header, "ImageType") == "ORIGINAL"
    assert text_of(Dataset(), "ImageType") == ""


def test_what_cannot_be_converted_is_absent() -> None:
    header = raw("Rows", "US", b"\1\2\3")
    assert value_of(header, "Rows") is None
    assert whole_of(header, "Rows") is None


def test_items() -> None:
    header = Dataset()
    assert items_of(header, "RadionuclideCodeSequence") == ()
    header.RadionuclideCodeSequence = [Dataset(), Dataset()]
    assert len(items_of(header, "RadionuclideCodeSequence")) == 2
    assert (
        items_of(raw("RadionuclideCodeSequence", "UN", b"JANE"), "RadionuclideCodeSequence") == ()
    )


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", "CT Image Storage"),
        ("1.2.840.10008.1.2.1", "an unnamed SOP class"),
        ("1.2.3", "an unnamed SOP class"),
        ("", "an unnamed SOP class"),
    ],
)
def test_only_known_classes_are_named(uid: str, name: str) -> None:
    assert class_name(raw("SOPClassUID", "UI", uid.encode())) == name


def test_nothing_is_said_about_damaged_values(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    with caplog.at_level(logging.DEBUG):
        header = raw("StudyDate", "DA", b"MRN123")
        assert text_of(header, "StudyDate") == "MRN123"
        assert math.isnan(number_of(raw("PatientWeight", "DS", b"JANE"), "PatientWeight") or 0)
    assert not caplog.records
    assert not recwarn.list


def test_quiet_ends_where_it_ends() -> None:
    logger = logging.getLogger("pydicom")
    with quiet():
        with quiet():
            assert logger.disabled
        assert logger.disabled
        warnings.warn("unheard", stacklevel=1)
    assert not logger.disabled
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)


def test_quiet_ends_with_an_error() -> None:
    with pytest.raises(KeyError), quiet():
        raise KeyError
    assert not logging.getLogger("pydicom").disabled


def test_quiet_lasts_until_the_last_thread_leaves() -> None:
    entered, joined, left = threading.Event(), threading.Event(), threading.Event()
    heard: list[bool] = []
    logger = logging.getLogger("pydicom")

    def first() -> None:
        with quiet():
            entered.set()
            joined.wait(10)
        left.set()

    def second() -> None:
        entered.wait(10)
        with quiet():
            joined.set()
            left.wait(10)
            heard.append(logger.disabled)
            warnings.warn("a patient's name", UserWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        filters = list(warnings.filters)
        threads = [threading.Thread(target=work) for work in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert warnings.filters == filters
    assert (heard, caught, logger.disabled) == ([True], [], False)


@pytest.mark.parametrize(
    ("modality", "uid", "found", "contradicts"),
    [
        ("CT", CTImageStorage, "CT", False),
        ("", CTImageStorage, "CT", False),
        ("MR", CTImageStorage, "MR", False),
        ("CT", MRImageStorage, "CT", True),
        ("OT", MRImageStorage, "OT", False),
        ("CT", SecondaryCaptureImageStorage, "CT", False),
        ("CT", "", "CT", False),
        ("", "", "", False),
    ],
)
def test_modality_by_class(modality: str, uid: str, found: str, contradicts: bool) -> None:
    header = Dataset()
    header.Modality, header.SOPClassUID = modality, uid
    assert (modality_of(header), contradicts_class(header)) == (found, contradicts)
