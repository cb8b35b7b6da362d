"""The errors that training watches of a method which scores anomalies."""

from __future__ import annotations

import numpy as np
import pytest

from medgen.metrics import PROFILES, profile_named
from medgen.problems import ConfigurationError, Refusal


def test_a_residual_is_measured_inside_the_mask_alone() -> None:
    residual = np.zeros((3, 3, 3))
    residual[0, 0, :2] = (3.0, -4.0)
    residual[2, 2, 2] = 100.0
    mask = np.zeros(residual.shape, dtype=bool)
    mask[0, 0] = True
    profile = PROFILES["reconstruction"]
    scores = profile.score(residual, np.zeros_like(residual), mask, spacing_mm=(1, 1, 1))
    assert scores == {"mae": pytest.approx(7 / 3), "rmse": pytest.approx((25 / 3) ** 0.5)}
    with pytest.raises(Refusal, match="E_EMPTY_MASK"):
        profile.score(residual, residual, mask & False, spacing_mm=(1, 1, 1))


def test_the_profile_is_of_anomalies_and_has_the_sources_unit() -> None:
    profile = PROFILES["reconstruction"]
    assert profile.kind == "anomaly"
    assert profile.for_labels({"lesion": 1}) is profile
    assert profile.overall == profile.details
    assert {column.unit for column in profile.in_unit("HU").details} == {"HU"}
    assert {column.better for column in profile.details} == {"lower"}


def test_answers_cannot_be_scored_by_what_training_watches() -> None:
    with pytest.raises(ConfigurationError, match=r"E_PROFILE.*--profile anomaly") as caught:
        profile_named("reconstruction")
    assert "known: hu" in str(caught.value)
    with pytest.raises(ConfigurationError, match="E_PROFILE") as caught:
        profile_named("nothing")
    assert "reconstruction" not in str(caught.value)
