"""Distances of two sets as JSON: what is there, what is not and why, and the floor."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medgen.evaluation.distances import distances_json
from medgen.metrics.distribution import frechet_distance, kernel_distance


def vectors(seed: int, count: int, patients: int, shift: float = 0.0) -> tuple:
    values = np.random.default_rng(seed).normal(size=(count, 4)) + shift
    return values, [f"p{seed}-{i % patients}" for i in range(count)]


def test_both_distances_with_their_n_intervals_and_floors() -> None:
    first, second = vectors(0, 30, 30, 1.0), vectors(1, 24, 12)
    found = distances_json(first, second)
    json.dumps(found, allow_nan=False)
    assert found["prediction"] == {"n": 30, "patients": 30}
    assert found["reference"] == {"n": 24, "patients": 12}
    assert found["fid"]["value"] == pytest.approx(frechet_distance(first[0], second[0]))
    owned = kernel_distance(first[0], second[0], second_owners=second[1])
    assert found["kid"]["value"] == found["kid"]["corrected"] == pytest.approx(owned)
    for name in ("kid", "fid"):
        low, high = found[name]["ci95"]
        assert low < found[name]["corrected"] < high
        assert found["floor"][name]["median"] <= found["floor"][name]["p95"]
        assert found["floor"][name]["p95"] < found[name]["value"]
    assert found["fid"]["corrected"] < found["fid"]["value"]
    assert found["floor"]["patients"] == [6, 6]


def test_the_floor_is_around_zero_and_belongs_to_the_references_alone() -> None:
    second = vectors(1, 24, 12)
    near, far = (distances_json(vectors(0, 9, 9, s), second)["floor"] for s in (0.0, 9.0))
    assert near == far
    assert abs(near["kid"]["median"]) < near["kid"]["p95"]


def test_fid_is_said_to_be_unavailable_where_n_does_not_exceed_the_features() -> None:
    found = distances_json(vectors(0, 4, 4), vectors(1, 30, 30))
    assert found["fid"]["value"] is None
    assert "N = 4 does not exceed the 4 features" in found["fid"]["unavailable"]
    assert found["kid"]["value"] is not None
    five = distances_json(vectors(0, 5, 5), vectors(1, 9, 9))
    # Its value can be had; without one patient it cannot, so it has no interval.
    assert five["fid"]["value"] > 0
    assert five["fid"]["corrected"] is None
    assert five["fid"]["ci95"] == [None, None]
    assert "in halves, N = 4" in five["floor"]["fid"]["unavailable"]


@pytest.mark.parametrize(("patients", "value", "interval"), [(1, 0, 0), (2, 1, 0), (3, 1, 1)])
def test_kid_takes_two_patients_and_its_interval_three(
    patients: int, value: bool, interval: bool
) -> None:
    found = distances_json(vectors(0, 6, patients), vectors(1, 8, 8))["kid"]
    assert (found["value"] is not None) == value
    assert value or "a set is of 1 patient, and takes two" in found["unavailable"]
    assert value == 0 or (found["ci95"][0] is not None) == interval


def test_few_references_have_no_floor_and_no_windows_no_distance() -> None:
    found = distances_json((np.zeros((0, 4)), []), vectors(1, 3, 3))
    assert "3 patients make no two halves" in found["floor"]["kid"]["unavailable"]
    assert "of 0 patients" in found["kid"]["unavailable"]
    assert "N = 0" in found["fid"]["unavailable"]


def test_who_is_in_both_sets_is_counted_since_fid_falls_below_its_floor() -> None:
    second = vectors(1, 24, 12)
    same = distances_json((second[0] + 0.01, second[1]), second)
    assert same["patients_in_both"] == 12
    assert same["fid"]["value"] < 0.01 * same["floor"]["fid"]["median"]
    assert distances_json(vectors(0, 24, 12), second)["patients_in_both"] == 0
