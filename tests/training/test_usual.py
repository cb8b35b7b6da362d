"""What a training records of its cases: by role and column, whoever they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from medgen.config import parse_config
from medgen.data import CachedCase, Group, Look, fit_usual
from medgen.data.domain import Face
from medgen.runs import assemble, preprocessing_of
from medgen.training.usual import domains_among, measure_labels, measure_usual
from medgen.volumes import Grid

GRID = Grid((8, 8, 8), np.diag([2.0, 2.0, 2.0, 1.0]))


def look(value: float) -> Look:
    shares = tuple(np.linspace(value, value + 1, 10).tolist())
    return Look({"litres": (value,)}, Face(shares, 1.0, (0.1, 0.2, 0.3)), "arbitrary")


def case(number: int, roles: Sequence[str], counts: tuple[int, ...] = ()) -> CachedCase:
    looks = {role: (look(number + 10.0 * (role == "target")),) for role in roles}
    return CachedCase(f"c{number}", {}, {}, GRID, (True,), looks=looks, class_counts=counts)


def method_and_preprocessing(name: str, **roles: Any) -> tuple[Any, Any]:
    unet = {"name": "unet", "channels": [2, 4], "features": 2, "residual_units": 0}
    block = {"generator": unet}
    if name == "cycle_gan":
        block["discriminator"] = {"layers": 1}
    config = parse_config(
        {
            "roles": {"source": ["mr"], "target": ["ct"], **roles},
            "intensity": {
                "mr": {"scale": "percentile"},
                "ct": {"scale": "window", "low": -1000, "high": 2000, "unit": "HU"},
            },
            "method": name,
            "methods": {name: block},
            "train": {"patch": [16, 16, 16]},
        }
    )
    return assemble(config)[0], preprocessing_of(config, {})


def test_a_paired_training_records_its_source_and_its_target() -> None:
    method, preprocessing = method_and_preprocessing("regression")
    cases = [case(number, ("source", "target")) for number in range(3)]
    found = measure_usual([Group(frozenset({"source", "target"}), cases)], method, preprocessing)
    assert {role: list(columns) for role, columns in found.items()} == {
        "source": ["mr"],
        "target": ["ct"],
    }
    assert found["source"]["mr"] == fit_usual([look(number) for number in range(3)])
    assert found["target"]["ct"].figures["litres"].low == (10.0,)
    assert domains_among(found, method) == {}


def test_an_unpaired_one_records_both_domains_each_of_its_own_cases() -> None:
    method, preprocessing = method_and_preprocessing("cycle_gan")
    groups = [
        Group(frozenset({"source"}), [case(number, ("source",)) for number in range(2)]),
        Group(frozenset({"target"}), [case(number, ("target",)) for number in range(3)]),
    ]
    found = measure_usual(groups, method, preprocessing)
    assert (found["source"]["mr"].cases, found["target"]["ct"].cases) == (2, 3)
    domains = domains_among(found, method)
    assert domains == {
        "source": found["source"]["mr"].domain,
        "target": found["target"]["ct"].domain,
    }


def test_cases_that_nobody_looked_at_are_not_recorded() -> None:
    method, preprocessing = method_and_preprocessing("regression")
    cases = [CachedCase("c0", {}, {}, GRID, (True,))]
    group = Group(frozenset({"source", "target"}), cases)
    assert measure_usual([group], method, preprocessing) == {}


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([(125, 250), (500, 125)], {"brain": (1.0, 4.0), "lesion": (1.0, 2.0)}),
        ([(125, 250), (500,)], {"brain": (1.0, 4.0), "lesion": (0.0, 2.0)}),
    ],
)
def test_volumes_of_classes_are_millilitres(
    counts: list[tuple[int, ...]], expected: dict[str, tuple[float, float]]
) -> None:
    preprocessing: Any = SimpleNamespace(classes=SimpleNamespace(written=("brain", "lesion")))
    cases = [case(number, ("source",), of_case) for number, of_case in enumerate(counts)]
    group = Group(frozenset({"source", "label"}), cases)
    found = measure_labels([group], preprocessing)
    assert {name: pytest.approx(bounds) for name, bounds in expected.items()} == found
    assert measure_labels([], preprocessing) == {}


def test_of_targets_the_outline_and_what_was_learned_are_recorded() -> None:
    method, preprocessing = method_and_preprocessing("regression")
    cases = []
    for number, (inside, overlap) in enumerate(((4, 0.9), (8, 0.8))):
        body = np.ones((1, 8, 8, 8), np.uint8)
        mask = np.zeros_like(body)
        mask[:, :inside] = 1
        made = case(number, ("source", "target"))
        arrays = {"body": body, "mask": mask}
        cases.append(replace(made, arrays=arrays, overlaps={"ct": overlap, "other": 0.1}))
    found = measure_usual([Group(frozenset({"source", "target"}), cases)], method, preprocessing)
    target = found["target"]["ct"]
    assert (target.least_overlap, target.learned) == (0.8, 0.75)
    assert (found["source"]["mr"].least_overlap, found["source"]["mr"].learned) == (None, 1.0)
