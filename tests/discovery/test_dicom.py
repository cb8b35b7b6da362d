"""DICOM trees to tables: by header alone, without a word of any header."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from dicom_ambiguous import echoes, phases
from dicom_corpus import CANARIES, CANARY_ID, CT, MR, PT, make_slices, save_series, uid
from dicom_encoding import save
from dicom_hard_geometry import missing_slice
from dicom_hard_values import without
from dicom_mutation import mutant

from medgen.data import read_table
from medgen.dicom import split_choice
from medgen.discovery import Finding, KeyedNames, Names, Scan, scan, summarise
from medgen.discovery.inspection import inspect
from medgen.problems import Exit

Series = Callable[..., Path]
Make = Callable[..., Path]


def scanned(root: Path, *, names: Names | None = None) -> Scan:
    return scan(root, names=names or Names(), output=root / "cases.csv", overwrite=True)


def told(found: Scan, code: str) -> list[Finding]:
    return [finding for finding in found.findings if finding.problem.code == code]


def codes(found: Scan) -> set[tuple[str, str | None]]:
    quiet = ("W_NUMBERED", "W_COLUMN_SPARSE")
    problems = [finding.problem for finding in found.findings]
    return {(one.code, one.column) for one in problems if one.code not in quiet}


def rows(root: Path) -> list[dict[str, str]]:
    """Return the table's rows, after the reader of every other verb has accepted it."""
    with (root / "cases.csv").open(newline="", encoding="utf-8") as stream:
        found = list(csv.DictReader(stream))
    images = [name for name in found[0] if name not in ("case", "patient", "site", "split")]
    assert len(read_table(root / "cases.csv", columns=images).rows) == len(found)
    return found


def test_one_patient_with_three_modalities_in_two_folders(series: Series, tmp_path: Path) -> None:
    series("x/mixed", MR, seed=1, SeriesDescription="AX T1")
    series("x/mixed", CT, seed=2, first=50)
    series("y", PT, seed=3, NumberOfSlices=5)
    found = scanned(tmp_path)
    assert found.exit_code == Exit.OK
    assert [(one.layout, one.scope, one.volumes) for one in found.layouts] == [("DICOM", (), 3)]
    mixed = {MR: f"x/mixed/#series={uid(MR, 1, 'series')}"}
    mixed[CT] = f"x/mixed/#series={uid(CT, 2, 'series')}"
    assert rows(tmp_path) == [
        {"case": "p001", "patient": "p001", "t1": mixed[MR], "ct": mixed[CT], "pet_ac": "y"}
    ]
    assert codes(found) == set()
    (numbers,) = told(found, "W_NUMBERED")
    assert "this scan only" in numbers.problem.message
    assert "--key FILE" in numbers.problem.advice
    units = {column: facts.unit for (_, column), facts in found.facts.items()}
    assert units == {"t1": "arbitrary", "ct": "HU", "pet_ac": "Bq/ml"}


def test_a_series_over_two_folders_and_the_root_itself(series: Series, tmp_path: Path) -> None:
    slices, _ = make_slices(CT, shape=(8, 7, 6))
    save_series(tmp_path / "one", slices[:3])
    save_series(tmp_path / "two", slices[3:], first=50)
    scanned(tmp_path)
    assert rows(tmp_path)[0]["ct"] == "."
    series("three", MR, seed=1)
    scanned(tmp_path)
    row = rows(tmp_path)[0]
    assert row["ct"] == f"./#series={uid(CT, 0, 'series')}"
    assert row["t1"] == "three"
    assert split_choice(tmp_path / row["ct"])[1].series == uid(CT, 0, "series")


def test_frames_that_differ_are_told_and_registered_first(series: Series, tmp_path: Path) -> None:
    series("mr", MR, seed=1, FrameOfReferenceUID=uid("another"))
    series("ct", CT, seed=2)
    found = scanned(tmp_path)
    (finding,) = told(found, "W_FRAMES_DIFFER")
    assert (finding.problem.case, finding.problem.column) == (None, "ct")
    assert not finding.refused
    assert "in 1 of 1 cases" in finding.problem.message
    assert "medgen prepare" in finding.problem.advice
    steps = summarise(found, table="cases.csv", keyed=False)["next"]
    assert steps[0].startswith("medgen prepare --data cases.csv")
    assert "frames of reference differ" in steps[0]
    series("mr", MR, seed=1)
    assert not told(scanned(tmp_path), "W_FRAMES_DIFFER")
    series("mr", MR, seed=1, FrameOfReferenceUID="")
    assert told(scanned(tmp_path), "W_FRAMES_DIFFER")


def test_an_mr_and_a_ct_of_two_studies_and_frames_are_one_row(
    series: Series, tmp_path: Path
) -> None:
    for number, patient in enumerate(("A", "B")):
        who = {"PatientID": patient, "SeriesDescription": "T1"}
        series(f"{patient}/mr", MR, seed=number, **who, StudyInstanceUID=uid(f"mr {patient}"))
        its = {"StudyInstanceUID": uid(f"ct {patient}"), "FrameOfReferenceUID": uid("another")}
        series(f"{patient}/ct", CT, seed=number + 8, **who, **its)
    found = scanned(tmp_path)
    assert [(row["case"], bool(row["t1"]), bool(row["ct"])) for row in rows(tmp_path)] == [
        *(("p001", True, True), ("p002", True, True)),
    ]
    assert codes(found) == {("W_FRAMES_DIFFER", "ct")}
    (differ,) = told(found, "W_FRAMES_DIFFER")
    assert len(differ.files) == 2
    steps = summarise(found, table="cases.csv", keyed=False)["next"]
    assert "--fixed t1 --moving ct --hu ct" in steps[0]


def test_studies_far_apart_are_joined_with_a_remark(series: Series, tmp_path: Path) -> None:
    series("ct", CT, seed=2, StudyDate="20240101")
    for date, days in (("20240131", None), ("20240201", 31), ("19990101", 9131), ("", None)):
        later = {"StudyInstanceUID": uid("later"), "StudyDate": date}
        series("mr", MR, seed=1, **later)
        found = told(scanned(tmp_path), "W_STUDIES_DATES")
        assert [row["case"] for row in rows(tmp_path)] == ["p001"]
        assert len(found) == (days is not None)
        for finding in found:
            assert f"at most {days} (p001)" in finding.problem.message
            assert "2024" not in str(finding.problem)
            assert not finding.refused


def test_follow_ups_are_rows_and_told_once(series: Series, tmp_path: Path) -> None:
    other = {"StudyInstanceUID": uid("later"), "StudyDate": "20320203"}
    series("first", CT, seed=1)
    series("second", CT, seed=2, **other)
    series("mr", MR, seed=3, **other)
    found = scanned(tmp_path)
    assert [(row["case"], row["patient"], row["ct"]) for row in rows(tmp_path)] == [
        *(("p001_1", "p001", "first"), ("p001_2", "p001", "second")),
    ]
    (apart,) = told(found, "W_STUDIES_APART")
    assert "1 patient has a row for each study" in apart.problem.message
    assert "p001_1, p001_2" in apart.problem.message
    assert not told(found, "W_STUDIES_DATES")


def test_of_two_candidates_the_finer_is_proposed_and_the_other_told(
    series: Series, tmp_path: Path
) -> None:
    series("coarse", MR, seed=1, SeriesDescription="SAG T1", SliceThickness="5")
    series("fine", MR, seed=2, SeriesDescription="COR T1", SliceThickness="1")
    series("finest", MR, seed=3, SeriesDescription="T1", ImageType="DERIVED", SliceThickness=".5")
    found = scanned(tmp_path)
    assert rows(tmp_path)[0]["t1"] == "fine"
    others = told(found, "W_OTHER_SERIES")
    assert [(one.cells, one.refused) for one in others] == [(("coarse", "finest"), False)]
    assert "in 1 of 1 cases" in others[0].problem.message
    assert "smallest voxel" in others[0].problem.advice
    assert found.exit_code == Exit.OK


def test_where_the_best_candidate_is_refused_the_next_is_taken(
    series: Series, tmp_path: Path
) -> None:
    whole = {"SeriesDescription": "T1", "SliceThickness": "5"}
    series("whole", MR, seed=1, **whole)
    series("broken", MR, seed=2, SeriesDescription="T1", SliceThickness="1", shape=(8, 7, 6))
    next((tmp_path / "broken").glob("*03.dcm")).write_bytes(b"")
    found = scanned(tmp_path)
    assert rows(tmp_path)[0]["t1"] == "whole"
    assert ("E_EMPTY_FILE", "t1") in codes(found)
    assert not told(found, "W_OTHER_SERIES")
    assert found.exit_code == Exit.SOME_FAILED


@pytest.mark.parametrize(
    ("build", "code", "cell"),
    [
        (echoes(), "E_SEVERAL_ECHOES", "a/#echo=1"),
        (phases(), "E_SEVERAL_PHASES", "a/#phase=1"),
        (missing_slice, "E_NONUNIFORM_SPACING", None),
        (without("ImagePositionPatient"), "E_NO_POSITION", None),
    ],
)
def test_what_the_gate_refuses_is_told_with_the_way_out(
    tmp_path: Path, build: Callable[[Path], object], code: str, cell: str | None
) -> None:
    (tmp_path / "a").mkdir()
    build(tmp_path / "a")
    found = scanned(tmp_path)
    (finding,) = told(found, code)
    assert finding.refused
    assert finding.cells == ((cell,) if cell else ())
    assert found.exit_code == Exit.ALL_FAILED
    assert not (tmp_path / "cases.csv").exists()


def test_what_is_no_volume_is_counted_and_listed(series: Series, tmp_path: Path) -> None:
    series("ct", CT)
    series("scout", MR, seed=1, SeriesDescription="3-plane localizer")
    series("shot", CT, seed=2, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    made = ["DERIVED", "SECONDARY", "AXIAL"]
    series("made", CT, seed=3, SyntheticData="YES", ImageType=made)
    (tmp_path / "plans").mkdir()
    for number in range(2):
        plan = make_slices(CT, seed=4, shape=(8, 7, 2))[0][number]
        plan.SOPClassUID, plan.Modality = "1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT"
        del plan.Rows, plan.Columns, plan.PixelData
        save(plan, tmp_path / "plans" / f"{number}.dcm")
    found = scanned(tmp_path)
    assert found.left_out == {
        **{"localizer": 1, "secondary capture": 1, "structure set": 2, "synthetic series": 1}
    }
    told_of = {str(one.problem.message): one.refused for one in told(found, "W_NO_VOLUME")}
    assert told_of["left out: 2 structure sets"] is False
    advice = {one.problem.message: one.problem.advice for one in told(found, "W_NO_VOLUME")}
    assert "cell of the table" in advice["left out: 1 synthetic series"]
    assert "NIfTI masks" in advice["left out: 2 structure sets"]
    assert summarise(found, table="t", keyed=False)["left_out"] == found.left_out
    assert list(rows(tmp_path)[0]) == ["case", "patient", "ct"]
    assert found.exit_code == Exit.OK


def test_nifti_and_dicom_side_by_side(series: Series, make: Make, tmp_path: Path) -> None:
    make("p001/t1.nii.gz")
    make("p002/t1.nii.gz")
    series("ward/ct", CT)
    found = scanned(tmp_path)
    assert [row["case"] for row in rows(tmp_path)] == ["dicom_p001", "p001", "p002"]
    (finding,) = told(found, "W_TWO_NAMINGS")
    assert "2 patients were named by folders and files, 1 by DICOM" in finding.problem.message
    assert {one.layout for one in found.layouts} == {"DICOM", "a folder per patient"}


def test_two_patients_in_one_series_are_refused(tmp_path: Path) -> None:
    slices, _ = make_slices(CT)
    slices[3].PatientID = "another"
    save_series(tmp_path / "a", slices)
    found = scanned(tmp_path)
    assert [one.refused for one in told(found, "E_PATIENT_MIXED")] == [True]
    assert found.exit_code == Exit.ALL_FAILED


def test_hostile_uids_never_reach_a_path(series: Series, tmp_path: Path) -> None:
    hostile = "../../etc/passwd,echo=1"
    series("a", CT, seed=1, SeriesInstanceUID=hostile, SeriesNumber="7")
    series("a", MR, seed=2, SeriesInstanceUID="=cmd()", SeriesNumber="", first=50)
    found = scanned(tmp_path)
    assert rows(tmp_path)[0]["ct"] == "a/#series=7"
    assert ("E_SEVERAL_SERIES", "t1") in codes(found)


def test_a_key_gives_the_same_ids_whatever_lies_beside(series: Series, tmp_path: Path) -> None:
    series("one/a", CT)
    series("two/b", CT)
    series("two/c", MR, seed=1, StudyInstanceUID=uid("later"))
    series("two/d", CT, seed=2, PatientID="SMITH")
    found = [scanned(tmp_path / root, names=KeyedNames(bytes(32))) for root in ("one", "two")]
    first, second = ([(case.case, case.patient) for case in one.cases] for one in found)
    assert first[0] in second
    assert len({patient for _, patient in second}) == 2
    assert not told(found[0], "W_NUMBERED")
    text = (tmp_path / "two/cases.csv").read_text()
    assert CANARY_ID not in text
    assert "SMITH" not in text


def test_no_word_of_a_header_reaches_table_or_findings(series: Series, tmp_path: Path) -> None:
    series("a", CT, seed=1)
    series("b", MR, seed=2, PatientBirthDate="19700102", FrameOfReferenceUID=uid("another"))
    series("c", MR, seed=3, shape=(8, 7, 1))
    series("d", PT, seed=4, Units="CNTS")
    series("e", CT, seed=5, PatientID="")
    found = scanned(tmp_path)
    assert {"W_PATIENT_DIFFERS", "W_PATIENT_ID", "W_FRAMES_DIFFER"} <= {c for c, _ in codes(found)}
    facts = json.dumps(summarise(found, table="t", keyed=False))
    text = facts + (tmp_path / "cases.csv").read_text()
    assert [word for word in CANARIES if word in text] == []


@pytest.mark.parametrize("seed", range(16))
def test_damaged_headers_are_told_and_never_quoted(tmp_path: Path, seed: int) -> None:
    _, files = mutant(seed)
    (tmp_path / "tree").mkdir()
    for number, content in enumerate(files):
        (tmp_path / "tree" / f"{number:03d}.dcm").write_bytes(content)
    found = scan(tmp_path / "tree", names=Names(), output=tmp_path / "cases.csv")
    told = json.dumps(summarise(found, table="t", keyed=False))
    inspected = json.dumps(inspect(tmp_path / "tree"), allow_nan=False)
    uids = ("2.25.",)  # a cell may choose by UID
    assert [word for word in CANARIES if word in told and word not in uids] == []
    assert [word for word in CANARIES if word in inspected and word not in uids] == []


@pytest.mark.real
def test_real_series(real_data: Path, tmp_path: Path) -> None:
    found = scan(real_data / "dicom", names=Names(), output=tmp_path / "cases.csv")
    refused = {(one.problem.code, one.problem.column) for one in found.refused}
    assert refused == {("E_NONUNIFORM_SPACING", "flair")}
    assert len(told(found, "W_OTHER_SERIES")) == 1
    found_columns = sorted(tuple(sorted(case.cells)) for case in found.cases)
    assert found_columns == [("ct", "pet_ac", "pet_nac"), ("t1",), ("t1",)]
