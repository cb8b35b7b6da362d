"""Which cases of a table a training divides."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from medgen.problems import ConfigurationError
from medgen.training.data import Cohort, dose_fractions, read_cohort

PAIR = (frozenset({"source", "target"}),)
EITHER = (frozenset({"source"}), frozenset({"target"}))


def table(folder: Path, *rows: str, split: bool = False) -> Path:
    for name in ("mr.nii", "ct.nii"):
        (folder / name).write_bytes(b"any")
    header = "case,patient,mr,ct" + (",split" if split else "") + ",seg"
    (folder / "cases.csv").write_text("\n".join([header, *(f"{row}," for row in rows)]) + "\n")
    return folder / "cases.csv"


ROWS = [f"p{k},p{k},mr.nii,ct.nii" for k in range(6)]
HALVES = ["h0,h0,mr.nii,", "h1,h1,,ct.nii", "n,n,,"]


@pytest.mark.parametrize("reads", [PAIR, EITHER])
def test_cases_that_nothing_can_be_learned_from_are_drawn_for_no_split(
    tmp_path: Path, make_config: Any, caplog: pytest.LogCaptureFixture, reads: Any
) -> None:
    data = table(tmp_path, *ROWS, *HALVES)
    with caplog.at_level(logging.WARNING):
        cohort = read_cohort(data, make_config(), reads=reads)
    drawn = {case for cases in cohort.split.values() for case in cases}
    whole = {f"p{k}" for k in range(6)}
    assert drawn == (whole if reads == PAIR else whole | {"h0", "h1"})
    assert f"{3 if reads == PAIR else 1} of 9 cases" in caplog.text


def test_a_split_column_keeps_cases_to_convert(tmp_path: Path, make_config: Any) -> None:
    rows = [f"{row},{'validation' if k == 0 else 'train'}" for k, row in enumerate(ROWS)]
    data = table(tmp_path, *rows, "h0,h0,mr.nii,,test", split=True)
    cohort = read_cohort(data, make_config(), reads=PAIR)
    assert cohort.split["test"] == ("h0",)


def dosed(folder: Path, *doses: str) -> Path:
    for name in ("mr.nii", "ct.nii"):
        (folder / name).write_bytes(b"any")
    lines = [f"p{k},p{k},mr.nii,ct.nii,train,,{dose}" for k, dose in enumerate(doses)]
    header = "case,patient,mr,ct,split,seg,dose_fraction"
    (folder / "cases.csv").write_text("\n".join([header, *lines]) + "\n")
    return folder / "cases.csv"


def cohort_of(data: Path, make_config: Any) -> Cohort:
    return read_cohort(data, make_config("regression"), reads=PAIR)


def test_the_doses_of_the_training_cases_are_kept(tmp_path: Path, make_config: Any) -> None:
    cohort = cohort_of(dosed(tmp_path, "0.1", "0.25", "0.1", ""), make_config)
    assert dose_fractions(cohort) == (0.1, 0.25)


def test_a_dose_that_is_none_is_refused_by_case(tmp_path: Path, make_config: Any) -> None:
    cohort = cohort_of(dosed(tmp_path, "0.1", "ten", "1.5", "0"), make_config)
    with pytest.raises(ConfigurationError) as caught:
        dose_fractions(cohort)
    assert [problem.case for problem in caught.value.problems] == ["p1", "p2", "p3"]
