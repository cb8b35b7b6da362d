from dataclasses import replace
from pathlib import PurePosixPath

from medgen.discovery.headers import Head, TreeSeries
from medgen.discovery.patients import (
    check_dates,
    check_patients,
    days_apart,
    numbered,
    patients_of,
    rows_of,
)
from medgen.discovery.sequences import column_of


def one(patient: str = "A", study: str = "1", column: str = "ct", **says: str) -> TreeSeries:
    """Return a series of a patient, and of a column by its modality or description."""
    modality = {"ct": "CT", "pet": "PT"}.get(column, "MR")
    empty = ("issuer", "birth_date", "sex", "study_moment", "series", "frame_of_reference")
    head = Head(
        patient_id=patient,
        **dict.fromkeys(empty, ""),
        study=study,
        number=1,
        modality=modality,
        sop_class="",
        description=column,
        **dict.fromkeys(("protocol", "model"), ""),
        contrast_agent=False,
        **dict.fromkeys(("image_type", "corrections", "scanning_sequence"), ()),
        synthetic=False,
        **dict.fromkeys(("echo_time_ms", "repetition_time_ms", "inversion_time_ms")),
        b_value=False,
        voxel_mm3=None,
    )
    name = f"{patient}/{study}/{column}{sorted(says.items())}.dcm"
    return TreeSeries(replace(head, **says), [PurePosixPath(name)])


def rows(*series: TreeSeries) -> list[list[str]]:
    found = rows_of(series, lambda each: column_of(each.head))
    return [[column_of(each.head) for each in row] for row in found]


def test_a_patient_is_an_id_and_its_issuer() -> None:
    found = patients_of([one("A"), one("B"), one("A", issuer="H"), one("A", "2")], keyed=False)
    assert sorted(sorted(patient.spellings) for patient in found) == [["A"], ["A^^^H"], ["B"]]
    by_name = {patient.name: len(patient.series) for patient in found}
    assert by_name == {"A": 2, "A^^^H": 1, "B": 1}


def test_spellings_are_joined_unless_a_key_tells_them_apart() -> None:
    both = [one("p-01"), one("P1", "2")]
    (patient,) = patients_of(both, keyed=False)
    assert patient.spellings == {"p-01", "P1"}
    (finding,) = check_patients([patient], ["p001"])
    assert finding.problem.code == "E_PATIENT_SPELLING"
    assert len(patients_of(both, keyed=True)) == 2
    assert len(patients_of([one("ab"), one("AB", "2")], keyed=True)) == 1


def test_without_an_id_each_study_is_a_patient() -> None:
    found = patients_of([one("", "1"), one("", "1", "pet"), one("", "2"), one("A")], keyed=False)
    assert sorted(len(patient.series) for patient in found) == [1, 1, 2]
    (finding,) = check_patients(found, ["p001", "p002", "p003"])
    assert finding.problem.code == "W_PATIENT_ID"
    assert "2 of 3 patients" in finding.problem.message


def test_the_order_follows_no_name() -> None:
    names = [f"{letter}{letter}" for letter in "ABCDEFGH"]
    series = [one(name, study=f"1.2.{number * 7}") for number, name in enumerate(names)]
    order = [patient.name for patient in patients_of(series, keyed=False)]
    assert order == [patient.name for patient in patients_of(series[::-1], keyed=False)]
    assert sorted(order) == names
    assert order not in (names, names[::-1])


def test_numbers_avoid_the_names_of_files() -> None:
    assert numbered(2, ["sub-01", "x"]) == ["p001", "p002"]
    assert numbered(2, ["P-1"]) == ["dicom_p001", "dicom_p002"]
    assert numbered(1, ["p1", "dicom-p 01"]) == ["dicom_dicom_p001"]


def test_births_and_sexes_that_differ_are_told_without_their_values() -> None:
    series = [
        one("A", "1", birth_date="19610307", sex="F"),
        one("A", "2", birth_date="19700101", sex="M"),
        one("A", "3", sex="O"),
    ]
    found = check_patients(patients_of(series, keyed=False), ["p001"])
    assert [finding.problem.code for finding in found] == ["W_PATIENT_DIFFERS"] * 2
    text = " ".join(str(finding.problem) for finding in found)
    assert "p001 give 2 birth dates" in text
    assert "2 sexes" in text
    assert "1961" not in text


def test_a_row_is_a_study_or_shares_its_frame_of_reference() -> None:
    assert rows(one(study="1"), one(study="1", column="pet")) == [["ct", "pet"]]
    frame = {"frame_of_reference": "9"}
    both = one(study="1", **frame), one(study="2", column="t1", **frame)
    assert rows(*both, one(study="3")) == [["ct", "t1"], ["ct"]]
    assert rows(*both) == [["ct", "t1"]]
    follow_up = rows(one(study="1", **frame), one(study="2", **frame))
    assert follow_up == [["ct"], ["ct"]]


def test_studies_that_complement_each_other_are_one_row() -> None:
    three = [one(study=str(n), column=name) for n, name in enumerate(("t1", "ct", "pet"))]
    assert rows(*three) == [["t1", "ct", "pet"]]
    assert rows(*three, one(study="4", column="flair")) == [["t1", "ct", "pet", "flair"]]
    assert rows(*three, one(study="4", column="t1")) == [["t1"], ["ct"], ["pet"], ["t1"]]
    twice = [one(study="1", column="t1", number=number) for number in ("1", "2")]
    assert rows(*twice, one(study="2")) == [["t1", "t1", "ct"]]


def test_days_between_studies_are_counted_where_dates_are_sound() -> None:
    moments = ("20240101101500", "20231230", "", "101500", "2024-1-1", "99999999")
    row = [one(study=str(n), study_moment=moment) for n, moment in enumerate(moments)]
    assert days_apart(row) == 2
    assert days_apart(row[2:]) == 0
    assert check_dates([row], ["p001"]) == []
    far = [one(study="1", study_moment="20240101"), one(study="2", study_moment="20250101")]
    (finding,) = check_dates([row, far], ["p001", "p002"])
    assert "at most 366 (p002)" in finding.problem.message


def test_rows_come_in_the_order_of_time() -> None:
    late, early = one(study="1", study_moment="2002"), one(study="2", study_moment="2001")
    assert [row[0] for row in rows_of([late, early], lambda each: "ct")] == [early, late]


def test_blank_studies_are_rows_of_their_own() -> None:
    blank = [one(study="", column="ct"), one(study="", column="t1")]
    assert rows(*blank, one(study="", series="9")) == [["ct"], ["t1"], ["ct"]]
    assert rows(*blank) == [["ct", "t1"]]
    assert len(rows(one(study="", frame_of_reference="9"), one(study="9"))) == 1
