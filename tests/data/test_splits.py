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


def test_each_domain_gets_its_share_of_every_split():
    """By chance alone a split of unpaired cases may hold one domain's patients only."""
    sources, targets = cohort(20), [(f"t{i}", f"q{i}") for i in range(10)]
    table = make_table(sources + targets)
    domains = [{case for case, _ in sources}, {case for case, _ in targets}]
    for seed in range(10):
        parts = assign_splits(table, Split(seed=seed), domains=domains)
        for name, both in {"train": (16, 8), "validation": (2, 1), "test": (2, 1)}.items():
            assert tuple(len(set(parts[name]) & domain) for domain in domains) == both


def test_of_a_domain_too_small_to_be_divided_all_are_trained_on():
    sources, targets = cohort(20), [("t0", "q0"), ("t1", "q1")]
    table = make_table(sources + targets)
    domains = [{case for case, _ in sources}, {case for case, _ in targets}]
    parts = assign_splits(table, Split(), domains=domains)
    assert {"t0", "t1"} <= set(parts["train"])
    assert len(parts["test"]) == len(parts["validation"]) == 2


def test_a_patient_of_both_domains_is_in_one_split():
    cases = [(f"{kind}{i}", f"p{i}") for i in range(12) for kind in ("s", "t")]
    domains = [{case for case, _ in cases if case[0] == kind} for kind in "st"]
    parts = assign_splits(make_table(cases), Split(), domains=domains)
    owner = dict(cases)
    owners = [{owner[case] for case in part} for part in parts.values()]
    assert sum(map(len, owners)) == 12
    assert parts == assign_splits(make_table(cases), Split()), "one kind of patient: as ever"


def test_domains_too_small_each_are_divided_together_or_refused_together():
    cases = [("s0", "a"), ("s1", "b"), ("t0", "c"), ("t1", "d")]
    domains = [{"s0", "s1"}, {"t0", "t1"}]
    parts = assign_splits(make_table(cases), Split(), domains=domains)
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [2, 1, 1]
    with pytest.raises(ConfigurationError, match="2 patients cannot fill"):
        assign_splits(make_table(cases[::2]), Split(), domains=domains)
