from typing import Any

import pytest
from pydicom.dataset import Dataset

from medgen.dicom.validity import is_sound
from medgen.dicom.values import quiet


def sound(keyword: str, value: Any, kind: str = "") -> bool:
    header = Dataset()
    with quiet():
        if kind:
            header.add_new(keyword, kind, value)
        else:
            setattr(header, keyword, value)
    return is_sound(header, keyword)


@pytest.mark.parametrize(
    ("keyword", "valid", "invalid"),
    [
        ("StudyDate", "20200229", "20210229"),
        ("StudyDate", "20200102", "2020.01.02"),
        ("StudyDate", "20200102", "2020-01-02"),
        ("StudyTime", "101112.123456", "10:11:12"),
        ("StudyTime", "235960", "240000"),
        ("StudyTime", "10", "1"),
        ("PatientAge", "045Y", "45"),
        ("PatientSex", "F", "FEMALE"),
        ("PatientSex", "O", "f"),
        ("PatientID", "x" * 64, "x" * 65),
        ("PatientID", "a b", "a\nb"),
        ("PatientID", "a", ["a", "b"]),
        ("PatientComments", "a\nb", "a\x07b"),
        ("PatientName", "A" * 64 + "=" + "B" * 64, "A" * 65),
        ("PatientName", "A^B^C^D^E=F=G", "A^B^C^D^E^F"),
        ("PatientName", "山田^太郎", "A=B=C=D"),
        ("AccessionNumber", "1" * 16, "1" * 17),
        ("StudyInstanceUID", "1.2.03", "1..3"),
        ("StudyInstanceUID", "1." * 31 + "12", "1." * 31 + "123"),
        ("BodyPartExamined", "HEAD", "Head"),
        ("PregnancyStatus", 4, 5),
        ("PatientWeight", "70.12345678901234567", "70 kg"),
        ("SeriesNumber", "-7", "12345678901234"),
        ("InstanceCreationDate", "", "today"),
    ],
)
def test_what_a_new_file_may_hold(keyword: str, valid: Any, invalid: Any) -> None:
    assert sound(keyword, valid)
    try:
        assert not sound(keyword, invalid)
    except ValueError:  # pydicom takes it from files only
        assert keyword == "PatientWeight"


def test_what_is_absent_or_empty_is_sound() -> None:
    assert is_sound(Dataset(), "PatientID")
    assert sound("PatientID", None)
    assert sound("StudyDate", "")


def test_another_representation_than_the_attributes_own_is_not() -> None:
    assert not sound("PatientID", "A1", "ST")
    assert sound("PatientID", "A1", "LO")
