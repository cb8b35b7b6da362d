from pathlib import PurePosixPath

import numpy as np
import pytest

from medgen.discovery.consistency import check_cohort, check_frames, drop_duplicates, same_grids
from medgen.discovery.examination import Facts
from medgen.discovery.grouping import Case
from medgen.discovery.placement import Placement
from medgen.discovery.walking import Entry
from medgen.volumes import Grid


def fact(
    digest: str = "", *, spacing: float = 1.0, offset: float = 0.0, high: float = 9.0
) -> Facts:
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[0, 3] = offset
    grid = Grid((10, 10, 10), affine)
    return Facts(grid, (10, 10, 10), (spacing,) * 3, 0.0, high, digest, "arbitrary")


def cohort(
    table: dict[str, dict[str, Facts]], patients: dict[str, str] | None = None
) -> tuple[list[Case], dict[tuple[str, str], Facts]]:
    cases, facts = [], {}
    for name, columns in table.items():
        cells = {
            column: Placement(Entry(PurePosixPath(name, column), column), "", (), name, column)
            for column in columns
        }
        cases.append(Case(name, (patients or {}).get(name, name), "", "", cells=cells))
        for column, found in columns.items():
            digest = found.digest or f"{name} {column}"
            facts[name, column] = Facts(**{**vars(found), "digest": digest})
    return cases, facts


def left(cases: list[Case]) -> dict[str, list[str]]:
    return {case.case: sorted(case.cells) for case in cases}


def test_one_file_in_two_columns_or_two_cases_is_refused_in_both() -> None:
    cases, facts = cohort(
        {
            "a": {"t1": fact("same"), "ct": fact("same"), "flair": fact()},
            "b": {"t1": fact("other"), "ct": fact()},
            "c": {"t1": fact("other"), "ct": fact()},
        }
    )
    findings = drop_duplicates(cases, facts)
    assert left(cases) == {"a": ["flair"], "b": ["ct"], "c": ["ct"]}
    places = [(f.problem.case, f.problem.column) for f in findings if f.refused]
    assert places == [("a", "t1"), ("a", "ct"), ("b", "t1"), ("c", "t1")]
    assert {f.problem.code for f in findings} == {"E_DUPLICATE"}
    assert "column ct" in findings[0].problem.message


def test_of_a_whole_copy_the_first_case_stays() -> None:
    twice = {"t1": fact("x"), "ct": fact("y")}
    cases, facts = cohort({"a": twice, "b": twice, "c": twice, "d": {"t1": fact()}})
    findings = drop_duplicates(cases, facts)
    assert left(cases) == {"a": ["ct", "t1"], "b": [], "c": [], "d": ["t1"]}
    assert {f.problem.case for f in findings} == {"b", "c"}


def test_alike_masks_and_one_patients_sessions_are_warnings() -> None:
    cases, facts = cohort(
        {
            "a": {"t1": fact("x"), "ct": fact(), "brain": fact("m")},
            "b": {"t1": fact("x"), "ct": fact(), "brain": fact("m")},
        },
        {"a": "p", "b": "p"},
    )
    findings = drop_duplicates(cases, facts)
    assert left(cases) == {name: ["brain", "ct", "t1"] for name in "ab"}
    assert [(f.problem.column, f.refused) for f in findings] == [("t1", False), ("brain", False)]
    assert "sessions share it" in findings[1].problem.advice
    findings = drop_duplicates(*cohort({name: {"t1": fact(), "brain": fact("m")} for name in "ab"}))
    assert [f.problem.advice for f in findings if "one patient id" in f.problem.advice]


def test_empty_labels_are_no_copies() -> None:
    empty = fact("zero", high=0)
    cases, facts = cohort({"a": {"lesion": empty}, "b": {"lesion": empty}})
    assert drop_duplicates(cases, facts) == []
    assert left(cases) == {"a": ["lesion"], "b": ["lesion"]}


@pytest.mark.parametrize(
    ("offset", "told"), [(0.0, False), (4.0, False), (6.0, True), (90.0, True)]
)
def test_columns_that_show_another_place_are_told(offset: float, told: bool) -> None:
    cases, facts = cohort({"a": {"ct": fact(offset=offset), "mr": fact(), "t1": fact(spacing=5)}})
    found = list(check_frames(cases[0], facts))
    expected = [("E_OTHER_FRAME", "a", "ct", False)] if told else []
    problems = [(f.problem.code, f.problem.case, f.problem.column, f.refused) for f in found]
    assert problems == expected


def cohort_codes(table: dict[str, dict[str, Facts]]) -> list[tuple[str, str | None, str | None]]:
    cases, facts = cohort(table)
    found = list(check_cohort(cases, facts))
    assert not any(finding.refused for finding in found)
    return [(f.problem.code, f.problem.case, f.problem.column) for f in found]


def test_a_sparse_column_is_told() -> None:
    table = {name: {"t1": fact()} for name in "abc"}
    table["a"]["t2"] = fact()
    table["b"]["ct"] = fact()
    (finding,) = check_cohort(*cohort(table))
    assert (finding.problem.code, finding.refused) == ("W_COLUMN_SPARSE", False)
    assert finding.problem.message.endswith("3 cases have these columns: t2 1, ct 1")
    table["b"]["t2"] = table["a"]["ct"] = fact()
    assert cohort_codes(table) == []


def test_outliers_of_spacing_and_extent_are_told() -> None:
    table = {name: {"t1": fact()} for name in "abcde"}
    table["e"] = {"t1": fact(spacing=2.01)}
    assert cohort_codes(table) == [("E_OUTLIER", "e", "t1"), ("E_OUTLIER", "e", "t1")]
    table["e"] = {"t1": fact(spacing=2.0)}
    assert cohort_codes(table) == []
    table["d"] = table["e"] = {"t1": fact(spacing=3)}
    assert cohort_codes(table) == [("E_OUTLIER", None, "t1"), ("E_OUTLIER", None, "t1")]


def test_empty_labels_are_counted() -> None:
    table = {"a": {"lesion": fact(high=0)}, "b": {"lesion": fact()}}
    assert cohort_codes(table) == [("E_EMPTY_LABEL", None, "lesion")]


def test_grids_of_images_are_compared() -> None:
    cases, facts = cohort({"a": {"t1": fact(), "ct": fact(), "brain": fact(spacing=2)}})
    assert same_grids(cases, facts)
    cases, facts = cohort({"a": {"t1": fact(), "ct": fact(offset=1)}})
    assert not same_grids(cases, facts)
