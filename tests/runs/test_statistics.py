"""What a run remembers of its training cases survives JSON, and older runs are still read."""

from __future__ import annotations

import json

from medgen.data import Look, fit_usual
from medgen.data.domain import Face
from medgen.runs import Statistics


def usual() -> object:
    looks = [
        Look({"litres": (4.0 + k,)}, Face((0.1, 0.2, 0.4 + k), None, (0.1, 0.2)), "HU", "CT")
        for k in range(3)
    ]
    return fit_usual(looks)


KNOWN = Statistics(
    cohort={"pet": (0.0, 5.0)},
    counts={"train_cases": 3},
    seen=frozenset({"ab", "cd"}),
    kept=frozenset({"cd"}),
    usual={"source": {"ct": usual()}},  # type: ignore[dict-item]
    label_ml={"lesion": (0.0, 12.5)},
)


def test_json_keeps_them() -> None:
    text = json.dumps(KNOWN.as_json(), allow_nan=False)
    assert Statistics.from_json(json.loads(text)) == KNOWN


def test_a_run_from_before_they_were_recorded_is_read() -> None:
    old = {"cohort": {}, "counts": {"train_cases": 3}, "seen": ["ab"]}
    found = Statistics.from_json(old)
    assert found == Statistics(counts={"train_cases": 3}, seen=frozenset({"ab"}))
    assert (found.usual, found.label_ml) == ({}, {})


def test_they_name_nobody() -> None:
    assert set(KNOWN.as_json()["usual"]["source"]["ct"]) == {
        "cases", "figures", "domain", "least_alike", "units", "modalities", "least_overlap",
        "learned",
    }  # fmt: skip
