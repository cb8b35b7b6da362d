"""Which cases of a table a training divides."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medgen.config import parse_config
from medgen.data.entries import CachedCase
from medgen.problems import ConfigurationError, Refusal
from medgen.training import prepare_session
from medgen.training.cohort import Cohort, read_cohort
from medgen.training.data import _tell
from medgen.training.statistics import dose_fractions
from medgen.volumes import Grid

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


def dosed(folder: Path, *doses: str, **more: str) -> Path:
    for name in ("pet.nii", "ct.nii"):
        (folder / name).write_bytes(b"any")
    others = "".join(f",{dose}" for dose in more.values())
    lines = [f"p{k},p{k},pet.nii,ct.nii,train,,{dose}{others}" for k, dose in enumerate(doses)]
    header = ",".join(["case,patient,pet_low,mr,split,ct,dose_fraction", *more])
    (folder / "cases.csv").write_text("\n".join([header, *lines]) + "\n")
    return folder / "cases.csv"


def cohort_of(data: Path, make_config: Any) -> Cohort:
    raw = make_config("regression").as_json()
    raw["roles"] = {"source": ["pet_low", "mr"], "target": ["ct"]}
    raw["intensity"]["pet_low"], raw["labels"] = {"scale": "percentile"}, {}
    return read_cohort(data, parse_config(raw), reads=(frozenset({"source"}),))


@pytest.mark.parametrize("tenth", ["0.1", '"0,1"', " 1e-1 "])
def test_the_doses_of_the_training_cases_are_kept(
    tmp_path: Path, make_config: Any, tenth: str
) -> None:
    cohort = cohort_of(dosed(tmp_path, tenth, "0.25", "0.1", ""), make_config)
    assert dose_fractions(cohort, ["pet_low"]) == (0.1, 0.25)
    assert dose_fractions(cohort, ["mr", "pet_low"]) == (0.1, 0.25)
    assert dose_fractions(cohort, ["other"]) == ()  # no case has that image


def test_a_model_of_no_pet_has_no_dose(tmp_path: Path, make_config: Any) -> None:
    assert dose_fractions(cohort_of(dosed(tmp_path, "0.1"), make_config), ["mr"]) == ()


def test_a_column_s_own_doses_win(tmp_path: Path, make_config: Any) -> None:
    data = dosed(tmp_path, "0.25", "0.25", pet_low_dose_fraction="0.1")
    assert dose_fractions(cohort_of(data, make_config), ["pet_low"]) == (0.1,)


def test_a_dose_that_is_none_is_refused_by_case(tmp_path: Path, make_config: Any) -> None:
    cohort = cohort_of(dosed(tmp_path, "0.1", "ten", "1.5", "0", "nan"), make_config)
    with pytest.raises(ConfigurationError) as caught:
        dose_fractions(cohort, ["pet_low"])
    assert [problem.case for problem in caught.value.problems] == ["p1", "p2", "p3", "p4"]
    dose_fractions(cohort, ["mr"])


@pytest.mark.parametrize("column", ["mr", "ct"])
def test_a_validation_case_without_its_pair_is_refused_before_the_first_step(
    tmp_path: Path, make_config: Any, tiny_cohort: Path, column: str
) -> None:
    text = tiny_cohort.read_text(encoding="utf-8").replace(f"c3_{column}.nii.gz", "")
    data = tiny_cohort.with_name(f"no_{column}.csv")
    data.write_text(text, encoding="utf-8")
    with pytest.raises(Refusal) as caught:
        prepare_session(make_config("regression"), data=data, cache=tmp_path, device="cpu")
    (problem,) = caught.value.problems
    assert (problem.code, problem.case, problem.column) == ("E_COLUMN_EMPTY", "c3", column)


def test_patches_of_both_domains_are_centred_alike(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    """In the body, while a labelled patch may also lie in the rim that its losses count in."""
    raw = make_config("adapted_segmenter").as_json()
    raw["preprocessing"]["spacing_mm"] = [2.5, 2.5, 2.5]  # finer than the rim is wide
    session = prepare_session(
        parse_config(raw), data=tiny_cohort, cache=tmp_path / "cache", device="cpu"
    )
    found = {group.keys: group.cases for group in session.batches._groups}
    labelled = {case.case: case for case in found[frozenset({"source", "label", "mask"})]}
    at_large, target = found[frozenset({"source_at_large"})], found[frozenset({"target"})]
    for case in (*at_large, *target):
        assert not set(case.arrays) & {"label", "labelled"}
        assert case.indices.size < 0.95 * case.arrays["body"].sum()
    for case in at_large:
        assert set(case.indices) < set(labelled[case.case].indices)


def test_what_is_doubtful_in_a_label_is_told_beside_what_is_in_the_image(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A case has an entry of the cache for each group that reads it."""
    grid = Grid((1, 1, 1), np.eye(4))
    entry = CachedCase("c", {}, {}, grid, (), warnings=("image",), overlaps={"mr": 1.0})
    other = replace(entry, warnings=("image", "label"), overlaps={})
    with caplog.at_level(logging.INFO):
        _tell({"c": [other, entry]})
    assert caplog.messages == ["outline_overlap", "case c: image", "case c: label"]
    assert caplog.records[0].fields == {"case": "c", "mr": 1.0}  # type: ignore[attr-defined]


def test_a_word_that_no_row_has_is_named_where_it_leaves_nothing_to_train_on(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    raw = make_config("adapted_segmenter").as_json()
    raw["roles"]["target"]["where"] = {"site": "bee"}
    with pytest.raises(ConfigurationError) as caught:
        prepare_session(parse_config(raw), data=tiny_cohort, cache=tmp_path, device="cpu")
    (problem,) = caught.value.problems
    assert problem.code == "E_GROUP_EMPTY"
    assert problem.message == "no training case of site bee fills the columns mr together"
