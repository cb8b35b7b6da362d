import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medgen.metrics import PROFILES, gradient_mae
from medgen.problems import Refusal

SPACING = (1.0, 1.5, 4.0)
SHAPE = (14, 12, 10)


def pair(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(0, 50, SHAPE), random.normal(0, 50, SHAPE), random.random(SHAPE) < 0.9


def central(values: np.ndarray, axis: int, spacing: float) -> np.ndarray:
    return ndimage.correlate1d(values, [-0.5, 0.0, 0.5], axis, mode="nearest") / spacing


def test_it_equals_central_differences_of_scipy_and_numpy() -> None:
    prediction, reference, mask = pair(0)
    inner = ndimage.binary_erosion(mask)
    steepness = [
        np.sqrt(sum(central(values, axis, step) ** 2 for axis, step in enumerate(SPACING)))
        for values in (prediction, reference)
    ]
    expected = np.abs(steepness[0] - steepness[1])[inner].mean()
    assert inner.any()
    assert gradient_mae(prediction, reference, mask, spacing_mm=SPACING) == pytest.approx(expected)
    both = [np.linalg.norm(np.gradient(v, *SPACING), axis=0) for v in (prediction, reference)]
    assert np.abs(both[0] - both[1])[inner].mean() == pytest.approx(expected)


def test_ramps_by_hand() -> None:
    x, _, z = np.indices(SHAPE, dtype=float)
    ramp = 6 * x * SPACING[0] + 8 * z * SPACING[2]  # 10 per mm
    whole = np.ones(SHAPE)
    score = gradient_mae(np.full(SHAPE, 7.0), ramp, whole, spacing_mm=SPACING)
    assert score == pytest.approx(10)
    assert gradient_mae(ramp + 100, ramp, whole, spacing_mm=SPACING) == pytest.approx(0)
    doubled = gradient_mae(0 * ramp, ramp, whole, spacing_mm=[2 * s for s in SPACING])
    assert doubled == pytest.approx(5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_nothing_outside_the_mask_enters(seed: int) -> None:
    prediction, reference, mask = pair(seed)
    here = gradient_mae(prediction, reference, mask, spacing_mm=SPACING)
    elsewhere = gradient_mae(
        np.where(mask, prediction, 1e6), np.where(mask, reference, -1e6), mask, spacing_mm=SPACING
    )
    assert here == elsewhere
    assert gradient_mae(reference, prediction, mask, spacing_mm=SPACING) == pytest.approx(here)


def test_a_mask_without_an_inside_has_no_score_and_says_so() -> None:
    prediction, reference, _ = pair(1)
    sheet = np.zeros(SHAPE)
    sheet[:, 3:5] = 1
    assert math.isnan(gradient_mae(prediction, reference, sheet, spacing_mm=SPACING))
    for name in ("hu", "mr", "pet"):
        profile = PROFILES[name]
        measured = profile.measure(prediction, reference + 200, sheet, spacing_mm=SPACING)
        assert math.isnan(measured.scores["gradient_mae"])
        assert any(remark.startswith("gradient_mae is NaN") for remark in measured.remarks)


def test_profiles_carry_it_behind_their_other_scores() -> None:
    prediction, reference, mask = pair(2)
    expected = gradient_mae(prediction, reference, mask, spacing_mm=SPACING)
    for name, unit in (("hu", "HU/mm"), ("mr", "arbitrary/mm"), ("pet", "SUV or Bq/ml per mm")):
        profile = PROFILES[name]
        judged = [column.name for column in profile.details if column.better]
        assert (judged[0], judged[-1]) == ("mae", "gradient_mae")
        assert profile.column("gradient_mae").unit == unit
        scores = profile.score(prediction, reference, mask, spacing_mm=SPACING)
        assert scores["gradient_mae"] == expected


def test_refusals() -> None:
    prediction, reference, mask = pair(3)
    with pytest.raises(Refusal, match="E_EMPTY_MASK"):
        gradient_mae(prediction, reference, 0 * mask, spacing_mm=SPACING)
