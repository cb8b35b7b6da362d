"""Verdicts: two witnesses against an alignment fail it, one makes it doubtful, none is ok."""

import math
from dataclasses import replace

import numpy as np
import pytest

from medgen.registration import Agreement, Deformation, Registration, judge

RIGHT = Agreement(
    mutual_information=0.37,
    normalised_information=1.06,
    outline_dice=0.987,
    edge_distance_mm=2.3,
    edge_parallel=0.85,
    shared=0.99,
)
HEADERS = replace(RIGHT, mutual_information=0.06, edge_parallel=0.45, outline_dice=0.92)
FOUND = Registration(np.eye(4), score=0.9, start_score=0.4, spread_mm=0.03, starts=13)


def named(after: Agreement, **changes: float) -> tuple[str, tuple[str, ...]]:
    found = replace(FOUND, **changes)  # type: ignore[arg-type]
    verdict = judge(HEADERS, after, found, min_overlap=0.8)
    return verdict.name, verdict.reasons


def test_a_right_alignment_is_ok_without_reasons() -> None:
    assert named(RIGHT) == ("ok", ())
    assert named(RIGHT, spread_mm=math.nan, starts=1) == ("ok", ())


def test_both_witnesses_against_it_fail_an_alignment_with_both_numbers_named() -> None:
    name, reasons = named(replace(RIGHT, mutual_information=0.09, edge_parallel=0.58))
    assert name == "failed"
    assert len(reasons) == 2
    assert "0.09" in reasons[0]
    assert "0.24" in reasons[0]
    assert "0.58" in reasons[1]
    assert "0.76" in reasons[1]


@pytest.mark.parametrize(
    "change",
    [
        {"mutual_information": 0.1},
        {"mutual_information": 0.22, "edge_parallel": 0.8},
        {"edge_parallel": 0.74},
        {"mutual_information": 0.45, "edge_parallel": 0.65},  # MR and PET
        {"outline_dice": 0.93},
        {"shared": 0.4},
    ],
)
def test_one_witness_makes_it_doubtful(change: dict[str, float]) -> None:
    name, reasons = named(replace(RIGHT, **change))
    assert name == "doubtful"
    assert len(reasons) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"outline_dice": 0.79},
        {"shared": 0.1},
        {"mutual_information": math.nan, "edge_parallel": math.nan},
    ],
)
def test_bodies_that_do_not_meet_fail(change: dict[str, float]) -> None:
    name, reasons = named(replace(RIGHT, **change))
    assert name == "failed"
    assert reasons


def test_a_smaller_field_of_view_is_no_reason() -> None:
    """Edge distances and information may differ; the outlines were measured where both see."""
    assert named(replace(RIGHT, shared=0.55, edge_distance_mm=3.5))[0] == "ok"


def test_headers_that_agreed_better_make_it_doubtful() -> None:
    better = replace(RIGHT, mutual_information=0.5, edge_parallel=0.95)
    verdict = judge(better, RIGHT, FOUND, min_overlap=0.8)
    assert verdict.name == "doubtful"
    assert "0.50 to 0.37" in verdict.reasons[0]


def test_searches_that_disagree_make_it_doubtful() -> None:
    name, [reason] = named(RIGHT, spread_mm=31.0)
    assert name == "doubtful"
    assert "31 mm" in reason


@pytest.mark.parametrize(
    ("folded", "largest_mm", "name"),
    [(0.0, 9.0, "ok"), (0.001, 9.0, "doubtful"), (0.0, 40.0, "doubtful"), (0.05, 9.0, "failed")],
)
def test_tissue_that_could_not_deform_so(folded: float, largest_mm: float, name: str) -> None:
    deformation = Deformation(np.zeros((2, 2, 2, 3), np.float32), folded, largest_mm)
    verdict = judge(HEADERS, RIGHT, FOUND, min_overlap=0.8, deformation=deformation)
    assert verdict.name == name
    assert bool(verdict.reasons) == (name != "ok")
