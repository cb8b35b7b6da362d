from pathlib import PurePosixPath

import pytest

from medgen.discovery.grouping import Grouped, group
from medgen.discovery.identities import KeyedNames, Names
from medgen.discovery.placement import Placement
from medgen.discovery.walking import Entry

KEY = bytes(32)


def put(path: str, patient: str, column: str = "t1", **more: object) -> Placement:
    entry = Entry(PurePosixPath(path), column)
    return Placement(entry, "a layout", more.pop("scope", ()), patient, column, **more)  # type: ignore[arg-type]


def grouped(*placements: Placement, keyed: bool = False) -> Grouped:
    names = KeyedNames(KEY) if keyed else Names()
    return group(placements, names, root_name="DOE JANE")


def rows(found: Grouped) -> list[tuple[str, str, list[str]]]:
    return [(case.case, case.patient, sorted(case.cells)) for case in found.cases]


def codes(found: Grouped) -> list[tuple[str, str | None, bool]]:
    return [(f.problem.code, f.problem.case, f.refused) for f in found.findings]


def test_sessions_of_a_patient_are_cases_of_one() -> None:
    found = grouped(
        put("a", "p2"),
        put("b", "p1", session="v1"),
        put("c", "p1", session="v2"),
        put("d", "p1", "ct", session="v2"),
    )
    assert rows(found) == [
        ("p1_v1", "p1", ["t1"]),
        ("p1_v2", "p1", ["ct", "t1"]),
        ("p2", "p2", ["t1"]),
    ]
    assert codes(found) == []


def test_sites_that_number_alike_have_other_patients() -> None:
    found = grouped(put("a", "001", site="siteA"), put("b", "001", site="siteB"), put("c", "002"))
    assert [row[:2] for row in rows(found)] == [
        ("002", "002"),
        ("siteA_001", "siteA_001"),
        ("siteB_001", "siteB_001"),
    ]


def test_one_name_in_two_folders_is_one_patient_with_two_cases() -> None:
    found = grouped(put("a", "p1", scope=("old",)), put("b", "p1", scope=("new",)))
    assert [row[:2] for row in rows(found)] == [("new_p1", "p1"), ("old_p1", "p1")]


def test_a_cell_with_two_files_stays_empty() -> None:
    found = grouped(put("p1/t1.nii", "p1"), put("p1/T1w.mha", "p1"), put("p1/ct.nii", "p1", "ct"))
    assert rows(found) == [("p1", "p1", ["ct"])]
    (finding,) = found.findings
    assert (finding.problem.code, finding.problem.column) == ("E_AMBIGUOUS", "t1")
    assert [path.name for path in finding.files] == ["t1.nii", "T1w.mha"]


@pytest.mark.parametrize("pair", [("P1", "p1"), ("p 1", "p_1"), ("é1", "e1")])
def test_ids_that_become_the_same_are_refused(pair: tuple[str, str]) -> None:
    found = grouped(put("a", pair[0]), put("b", pair[1]), put("c", "p9"))
    assert [row[0] for row in rows(found)] == ["p9"]
    assert [code for code, *_ in codes(found)] == ["E_CASE_ID", "E_CASE_ID"]


def test_two_spellings_of_a_patient_are_one_patient_and_told() -> None:
    found = grouped(put("a", "P-01"), put("b", "p1"), put("c", "p2"))
    assert [row[:2] for row in rows(found)] == [("P-01", "P-01"), ("p1", "P-01"), ("p2", "p2")]
    assert codes(found) == [("E_PATIENT_SPELLING", "p1", False)]


def test_a_name_without_a_letter_needs_a_key() -> None:
    assert codes(grouped(put("a", "患者"))) == [("E_CASE_ID", None, True)]
    assert len(grouped(put("a", "患者"), put("b", "病人"), keyed=True).cases) == 2


def test_keyed_names_tell_nothing_and_join_spellings_too() -> None:
    found = grouped(
        put("a", "DOE-01"), put("b", "doe 1"), put("c", "doe2", session="2020-01-01"), keyed=True
    )
    assert len({patient for _, patient, _ in rows(found)}) == 2
    assert [(code, refused) for code, _, refused in codes(found)] == [("E_PATIENT_SPELLING", False)]
    assert "doe" not in f"{rows(found)}{[f.problem for f in found.findings]}".lower()


def test_a_patient_in_the_folder_itself_is_called_case_or_hashed_by_the_folder() -> None:
    assert rows(grouped(put("t1.nii", ""))) == [("case", "case", ["t1"])]
    (row,) = rows(grouped(put("t1.nii", ""), keyed=True))
    (same,) = rows(grouped(put("x/t1.nii", "DOE JANE"), keyed=True))
    assert row == same


def test_a_keyed_id_does_not_change_when_another_site_joins() -> None:
    alone = grouped(put("a", "p01", site="siteA"), keyed=True)
    both = grouped(put("a", "p01", site="siteA"), put("b", "p01", site="siteB"), keyed=True)
    assert rows(alone)[0] in rows(both)
    assert len({patient for _, patient, _ in rows(both)}) == 2
    assert rows(grouped(put("a", "p01", site="siteA"))) == [("p01", "p01", ["t1"])]


@pytest.mark.parametrize("keyed", [False, True])
def test_accents_and_sites_do_not_part_a_patient(keyed: bool) -> None:
    sites = grouped(put("a", "P-01", site="siteA"), put("b", "p1", site="siteB"), keyed=keyed)
    assert len({patient for _, patient, _ in rows(sites)}) == 1
    accents = grouped(put("a", "Müller-1"), put("b", "Muller01"), keyed=keyed)
    assert len({patient for _, patient, _ in rows(accents)}) == 1
    assert {code for code, *_ in codes(accents)} == {"E_PATIENT_SPELLING"}
