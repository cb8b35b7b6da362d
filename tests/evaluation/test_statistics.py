import math

import numpy as np
import pytest

from medgen.evaluation.statistics import holm, interval, number, spread


def test_spread_by_hand() -> None:
    found = spread([1.0, 2.0, 6.0], ["a", "b", "c"])
    assert (found.mean, found.median, found.minimum, found.maximum) == (3.0, 2.0, 1.0, 6.0)
    assert found.sd == pytest.approx(math.sqrt(7))
    assert (found.cases, found.patients) == (3, 3)
    assert found.interval[0] < 3.0 < found.interval[1]


def test_values_that_are_not_finite_are_counted_and_left_out() -> None:
    found = spread([1.0, math.nan, 3.0, math.inf], ["a", "b", "c", "d"])
    assert (found.mean, found.cases, found.nan, found.infinite, found.patients) == (2.0, 2, 1, 1, 2)
    nothing = spread([math.nan], ["a"]).as_json()
    assert nothing["mean"] is None
    assert nothing["ci95"] == [None, None]
    assert nothing["cases"] == 0


def test_one_case_has_no_spread() -> None:
    found = spread([5.0], ["a"]).as_json()
    assert (found["mean"], found["sd"], found["ci95"]) == (5.0, None, [None, None])


def test_the_interval_equals_a_plain_bootstrap() -> None:
    values, patients = [3.0, 5.0, 8.0, 13.0, 21.0], list("abcde")
    random = np.random.default_rng(1)
    means = [np.mean(random.choice(values, 5)) for _ in range(20_000)]
    expected = np.quantile(means, [0.025, 0.975])
    np.testing.assert_allclose(interval(values, patients), expected, rtol=0.03)


def test_patients_are_resampled_whole() -> None:
    """Ten equal cases of each of two patients carry no more than two patients' evidence."""
    values = [0.0] * 10 + [1.0] * 10
    grouped = interval(values, ["a"] * 10 + ["b"] * 10)
    apart = interval(values, [str(i) for i in range(20)])
    assert grouped == (0.0, 1.0)
    assert apart[0] > 0.2
    assert apart[1] < 0.8


def test_a_patient_weighs_by_its_cases() -> None:
    low, high = interval([0.0, 0.0, 0.0, 10.0], ["a", "a", "a", "b"])
    assert low == 0.0
    assert high == 10.0


def test_the_interval_is_reproducible_and_independent_of_order() -> None:
    values, patients = [1.0, 2.0, 4.0, 8.0], ["a", "b", "c", "c"]
    assert interval(values, patients) == interval(values, patients)
    assert interval(values, patients) == interval(values[::-1], patients[::-1])


def test_many_patients_are_resampled_in_blocks() -> None:
    values = np.random.default_rng(2).normal(50, 5, 2000)
    low, high = interval(values, [str(i) for i in range(2000)], resamples=3000)
    half = 1.96 * values.std() / math.sqrt(2000)
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)


def test_one_patient_has_no_interval() -> None:
    assert all(math.isnan(end) for end in interval([1.0, 2.0], ["a", "a"]))


def test_holm_by_hand() -> None:
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": math.nan})
    assert adjusted["a"] == pytest.approx(0.03)
    assert adjusted["c"] == pytest.approx(0.06)
    assert adjusted["b"] == pytest.approx(0.06)
    assert math.isnan(adjusted["d"])
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


def test_json_has_no_infinity() -> None:
    assert number(math.inf) is None
    assert number(math.nan) is None
    assert number(1.5) == 1.5
