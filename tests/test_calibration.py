"""Healthy scores and residuals: p-values that hold, thresholds that keep what they promise."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgen.calibration import (
    SHARES,
    Calibration,
    check_case_rate,
    check_voxel_rate,
    fit_calibration,
    oriented,
    picked,
)
from medgen.problems import ConfigurationError, Refusal

finite = st.floats(-1e6, 1e6, allow_nan=False, width=32)
many = st.lists(finite, min_size=1, max_size=60)
rates = st.floats(0.001, 0.999)


def fitted(scores: list[float], *, direction: Any = "both", residuals: Any = None) -> Calibration:
    rng = np.random.default_rng(0)
    drawn = [rng.normal(0.1, 0.2, 500) for _ in scores] if residuals is None else residuals
    return fit_calibration(
        drawn,
        [{"map_top": score, "map_mean": -score} for score in scores],
        direction=direction,
        patients=1,
        weights_digest="ab",
        settings_digest="cd",
    )


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.05, 0.1])
@pytest.mark.parametrize("direction", ["both", "positive", "negative"])
def test_of_many_equal_residuals_no_more_exceed_a_threshold_than_may(
    direction: Any, rate: float
) -> None:
    """Equal ones lie on one side together, though z-maps are float32."""
    residuals = np.round(np.random.default_rng(0).normal(size=999), 1).astype(np.float32)
    calibration = fitted([1.0], direction=direction, residuals=[residuals])
    z = oriented(calibration.z(residuals), direction)
    assert (z > calibration.voxel_threshold(rate)).mean() <= rate


@given(many, finite, finite)
@settings(max_examples=60, deadline=None)
def test_p_values_are_shares_and_fall_with_the_score(
    scores: list[float], one: float, other: float
) -> None:
    calibration = fitted(scores)
    low, high = sorted((one, other))
    assert 0 < calibration.p_value("map_top", high) <= calibration.p_value("map_top", low) <= 1
    # The definition, counted another way.
    as_high = sum(1 for score in scores if score >= low)
    assert calibration.p_value("map_top", low) == (1 + as_high) / (len(scores) + 1)


@given(st.lists(finite, min_size=2, max_size=40), rates)
@settings(max_examples=60, deadline=None)
def test_p_values_of_exchangeable_cases_are_no_smaller_than_uniform_ones(
    scores: list[float], rate: float
) -> None:
    """Leave each case out in turn: exchangeability, exactly; ties included."""
    found = [
        fitted(scores[:index] + scores[index + 1 :]).p_value("map_top", score)
        for index, score in enumerate(scores)
    ]
    assert np.mean([p <= rate for p in found]) <= rate + 1e-12


@given(many, rates)
@settings(max_examples=80, deadline=None)
def test_a_case_threshold_says_what_the_p_value_says(scores: list[float], rate: float) -> None:
    calibration, count = fitted(scores), len(scores)
    if rate < 1 / (count + 1):
        with pytest.raises(ConfigurationError, match="E_CALIBRATION_RATE"):
            calibration.case_threshold("map_top", rate)
        return
    threshold = calibration.case_threshold("map_top", rate)
    assert np.mean(np.array(scores) > threshold) <= rate
    for score in (threshold, *scores, np.nextafter(threshold, math.inf)):
        assert (score > threshold) == (calibration.p_value("map_top", float(score)) <= rate)


@given(st.integers(1, 400), st.integers(1, 99))
def test_a_rate_of_whole_hundredths_is_not_lost_to_rounding(count: int, hundredths: int) -> None:
    exactly_enough = hundredths * (count + 1) >= 100
    try:
        check_case_rate(hundredths / 100, count)
        assert exactly_enough
    except ConfigurationError:
        assert not exactly_enough


@pytest.mark.parametrize(("rate", "cases", "needed"), [(0.05, 18, "19"), (0.001, 0, "999")])
def test_a_finer_rate_is_refused_with_the_cases_it_needs(
    rate: float, cases: int, needed: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_case_rate(rate, cases)
    (problem,) = caught.value.problems
    assert problem.code == "E_CALIBRATION_RATE"
    assert f"{rate:g}" in problem.message
    assert f"{cases} healthy" in problem.message
    assert f"{needed} cases" in problem.advice
    check_case_rate(rate, int(needed))


@pytest.mark.parametrize("direction", ["both", "positive", "negative"])
@given(rate=st.floats(0.01, 0.99), seed=st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_a_voxel_threshold_keeps_its_share_on_the_healthy_voxels(
    direction: Any, rate: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    residuals = [rng.gamma(2.0, 0.1, 300), rng.normal(-0.2, 0.3, 400)]
    calibration = fitted([1.0, 2.0], direction=direction, residuals=residuals)
    z = calibration.z(np.concatenate(residuals))
    threshold = calibration.voxel_threshold(rate)
    share = np.mean(oriented(z, direction) > threshold * (1 + 1e-6) + 1e-6)
    assert share <= rate + 1e-9
    # Nor is it much higher than it must be: two digits of the share, and a voxel or two.
    assert share >= rate * 0.9 - 3 / 700


def test_voxels_too_few_for_a_rate_are_refused_with_their_number() -> None:
    calibration = fitted([1.0])  # 500 voxels
    with pytest.raises(ConfigurationError, match=r"0\.001, and 500 voxels .* below 0\.002"):
        calibration.voxel_threshold(0.001)
    calibration.voxel_threshold(0.002)
    check_voxel_rate(0.001, 999)
    with pytest.raises(ConfigurationError, match="set it to 1e-06 or above"):
        check_voxel_rate(1e-8, 10**12)


def test_the_z_scores_of_a_normal_sample_are_standard_normal() -> None:
    rng = np.random.default_rng(1)
    residuals = [rng.normal(0.3, 0.05, 40_000) for _ in range(3)]
    # Lesions that nobody saw in a hundredth of the voxels change neither centre nor spread much.
    residuals[0][:1200] = 5.0
    calibration = fitted([1.0, 2.0, 3.0], residuals=residuals)
    z = calibration.z(rng.normal(0.3, 0.05, 100_000))
    assert abs(z.mean()) < 0.03
    assert z.std() == pytest.approx(1.0, abs=0.03)
    assert z.dtype == np.float32
    clean = fitted([1.0], residuals=[rng.normal(0.3, 0.05, 200_000)])
    assert clean.voxel_threshold(0.05) == pytest.approx(1.96, abs=0.03)


@given(many)
@settings(max_examples=30, deadline=None)
def test_a_calibration_survives_json_and_names_no_order_of_cases(scores: list[float]) -> None:
    calibration = fitted(scores)
    stored = json.loads(json.dumps(calibration.as_json(), allow_nan=False))
    assert Calibration.from_json(stored) == calibration
    assert calibration.cases == len(scores)
    assert stored["scores"]["map_top"] == sorted(scores)


@pytest.mark.parametrize(
    "fault",
    [
        {"cases": 3},
        {"scale": 0.0},
        {"upper": []},
        {"scores": {"map_top": [1.0, math.nan]}},
        {"scores": {"map_top": [1.0, 2.0], "map_mean": [1.0]}},
        {"location": math.inf},
    ],
)
def test_a_calibration_that_contradicts_itself_is_not_read(fault: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the calibration"):
        Calibration.from_json({**fitted([1.0, 2.0]).as_json(), **fault})


def test_residuals_that_do_not_vary_or_are_no_numbers_are_refused() -> None:
    with pytest.raises(Refusal, match="E_CALIBRATION_FLAT"):
        fitted([1.0], residuals=[np.zeros(100)])
    with pytest.raises(Refusal, match="E_CALIBRATION_NONFINITE"):
        fitted([1.0], residuals=[np.array([0.0, math.nan])])
    with pytest.raises(Refusal, match="E_CALIBRATION_NONFINITE"):
        fitted([math.inf])
    with pytest.raises(ValueError, match="nan"):
        fitted([1.0]).p_value("map_top", math.nan)


def test_the_voxels_picked_of_a_case_are_spread_evenly() -> None:
    values = np.arange(1_000)
    assert picked(values, 2_000).size == 1_000
    chosen = picked(values, 300)
    assert chosen.size == 300
    assert set(np.diff(chosen)) == {3, 4}
    np.testing.assert_array_equal(chosen, picked(values, 300))


def test_the_shares_kept_are_two_digits_from_a_millionth() -> None:
    assert len(set(SHARES)) == len(SHARES) == 540
    assert list(SHARES) == sorted(SHARES)
    assert SHARES[0] == 1e-6
    assert {0.05, 0.01, 0.001, 0.0025} <= set(SHARES)
