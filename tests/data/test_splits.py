from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.config import Split
from medgen.data import Row, Table, assign_splits
from medgen.problems import ConfigurationError


def make_table(cases: list[tuple[str, str]], splits: dict[str, str] | None = None) -> Table:
    rows = [Row(case, patient, {}, (splits or {}).get(case)) for case, patient in cases]
    return Table(tuple(rows), ("case", "patient"))


def cohort(patients: int, scans: int = 1) -> list[tuple[str, str]]:
    return [(f"c{p}_{s}", f"p{p}") for p in range(patients) for s in range(scans)]


def test_default_shares_of_36_are_28_4_4():
    parts = assign_splits(make_table(cohort(36)), Split())
    assert {name: len(cases) for name, cases in parts.items()} == {
        "train": 28,
        "validation": 4,
        "test": 4,
        "calibrate": 0,
    }


@given(
    patients=st.integers(4, 40),
    scans=st.integers(1, 3),
    seed=st.integers(0, 5),
    order=st.randoms(use_true_random=False),
    shares=st.tuples(*[st.sampled_from([0.0, 0.05, 0.1, 0.3])] * 3),
)
def test_every_case_once_no_patient_twice_whatever_the_order(patients, scans, seed, order, shares):
    split = Split(validation=shares[0], test=shares[1], calibrate=shares[2], seed=seed)
    cases = cohort(patients, scans)
    parts = assign_splits(make_table(cases), split)
    assert sorted(case for part in parts.values() for case in part) == sorted(c for c, _ in cases)
    owner = dict(cases)
    owners = [{owner[case] for case in part} for part in parts.values()]
    assert sum(len(part) for part in owners) == patients
    for name, share in (("validation", shares[0]), ("test", shares[1]), ("calibrate", shares[2])):
        assert bool(parts[name]) == (share > 0)
    assert parts["train"]
    order.shuffle(cases)
    again = assign_splits(make_table(cases), split)
    assert {k: sorted(v) for k, v in again.items()} == {k: sorted(v) for k, v in parts.items()}


def test_seeds_differ():
    table = make_table(cohort(30))
    tests = {assign_splits(table, Split(seed=seed))["test"] for seed in range(5)}
    assert len(tests) > 1


def test_a_split_column_wins_wholly():
    splits = {"c0_0": "test", "c1_0": "train", "c2_0": "calibrate"}
    parts = assign_splits(make_table(cohort(3), splits), Split(validation=0.3))
    assert parts == {
        "train": ("c1_0",),
        "validation": (),
        "test": ("c0_0",),
        "calibrate": ("c2_0",),
    }


def test_too_few_patients_are_refused():
    with pytest.raises(ConfigurationError, match="2 patients cannot fill"):
        assign_splits(make_table(cohort(2, scans=5)), Split())
    assert assign_splits(make_table(cohort(3)), Split())["train"]


def test_cells_are_not_needed(tmp_path: Path):
    parts = assign_splits(make_table(cohort(1)), Split(validation=0, test=0))
    assert parts["train"] == ("c0_0",)
