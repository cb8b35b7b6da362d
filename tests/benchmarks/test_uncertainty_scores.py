"""Scores of uncertainties whose errors are drawn to be as large as they say, or are not."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import medgen

PROGRAM = Path(medgen.__file__).parents[1] / "benchmarks" / "uncertainty_scores.py"
SCORES = runpy.run_path(str(PROGRAM))
RNG = np.random.default_rng(0)
TOLD = RNG.uniform(0.1, 50.0, 40_000)
ERROR = np.abs(RNG.normal(size=TOLD.size) * TOLD)


def test_an_oracle_leaves_nothing_to_gain() -> None:
    scores = SCORES["scores_of"](ERROR, ERROR)
    assert scores.gain == pytest.approx(1.0)
    assert scores.ause == 0.0
    assert scores.spearman == pytest.approx(1.0)


def test_chance_gains_nothing_and_the_opposite_loses() -> None:
    chance = RNG.uniform(size=TOLD.size)
    assert SCORES["scores_of"](chance, ERROR).gain == pytest.approx(0.0, abs=0.02)
    assert SCORES["scores_of"](-ERROR, ERROR).gain < -0.5


def test_a_right_deviation_gains_what_chance_about_it_allows() -> None:
    scores = SCORES["scores_of"](TOLD, ERROR)
    assert 0.3 < scores.gain < 0.9
    assert scores.ause == pytest.approx((scores.curve - scores.oracle).mean())
    # Of uncertainties spread evenly from 0 the half that is kept has half of the error.
    assert scores.curve[SCORES["STEPS"] // 2] == pytest.approx(0.5, abs=0.02)


def test_a_right_deviation_is_calibrated_and_half_of_it_is_not() -> None:
    assert SCORES["factor_of"](TOLD, ERROR) == pytest.approx(1.0, abs=0.02)
    assert SCORES["factor_of"](TOLD / 2, ERROR) == pytest.approx(2.0, abs=0.04)
    bins = SCORES["binned"](TOLD, ERROR)
    np.testing.assert_allclose(bins[:, 1] / bins[:, 0], 1.0, atol=0.08)
