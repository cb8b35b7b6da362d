"""What counts of a residual, and the scores: by hand on arrays that can be counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from medgen.config import AnomalyConfig
from medgen.conversion.anomaly import Anomaly, depth, measure_anomaly
from medgen.problems import Refusal

SHAPE = (12, 12, 12)


def measured(
    residual: np.ndarray,
    *,
    body: np.ndarray | None = None,
    source: np.ndarray | None = None,
    score: float = 0.5,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    **settings: Any,
) -> Anomaly:
    body = np.ones(residual.shape, dtype=bool) if body is None else body
    source = np.zeros_like(residual) if source is None else source
    windows = np.full_like(residual, score)
    return measure_anomaly(
        np.stack([np.full_like(residual, 9.0), residual, windows]).astype(np.float32),
        body=body,
        source=np.stack([np.zeros_like(source), source]).astype(np.float32),
        channel=1,
        settings=AnomalyConfig.model_validate(settings),
        spacing_mm=spacing_mm,
    )


@pytest.fixture
def residual() -> np.ndarray:
    return np.random.default_rng(0).normal(0.1, 1.0, SHAPE)


@pytest.fixture
def body() -> np.ndarray:
    body = np.zeros(SHAPE, dtype=bool)
    body[2:10, 2:10, 2:10] = True
    return body


@pytest.mark.parametrize(
    ("direction", "side"),
    [
        ("both", np.abs),
        ("positive", lambda values: np.clip(values, 0, None)),
        ("negative", lambda values: np.clip(-values, 0, None)),
    ],
)
def test_scores_look_at_the_side_that_counts(
    residual: np.ndarray, body: np.ndarray, direction: str, side: Any
) -> None:
    found = measured(residual, body=body, direction=direction)
    inside = side(residual[body])  # 512 voxels, of which the highest hundredth are 6
    assert found.scores["map_mean"] == pytest.approx(inside.mean(), rel=1e-6)
    assert found.scores["map_top"] == pytest.approx(np.sort(inside)[-6:].mean(), rel=1e-6)
    assert np.allclose(found.residual, np.where(body, residual, 0))
    assert np.array_equal(found.inside, body)


def test_the_map_is_signed_whatever_counts(residual: np.ndarray) -> None:
    positive = measured(residual, direction="positive").residual
    assert np.array_equal(positive, measured(residual).residual)
    assert (positive < 0).any()


def test_windows_score_by_their_own(residual: np.ndarray, body: np.ndarray) -> None:
    windows = np.zeros(SHAPE)
    windows[0], windows[5], windows[6] = 9.0, 2.0, 1.0  # the first is outside the body
    found = measure_anomaly(
        np.stack([residual, windows]).astype(np.float32),
        body=body,
        source=residual[None].astype(np.float32),
        channel=0,
        settings=AnomalyConfig(median_voxels=3, direction="negative", erode_mm=1.0),
        spacing_mm=(1.0, 1.0, 1.0),
    )
    assert found.scores["window_max"] == 2.0
    assert found.scores["window_mean"] == pytest.approx(3 / 8)


def test_a_median_filter_takes_single_voxels_and_keeps_the_sign(body: np.ndarray) -> None:
    residual = np.zeros(SHAPE)
    residual[4, 4, 4] = 5.0
    residual[6:9, 6:9, 6:9] = -1.0
    residual[0] = 100.0  # outside the body, so that it reaches nothing inside
    found = measured(residual, body=body, median_voxels=3).residual
    assert found[4, 4, 4] == 0.0
    assert found[7, 7, 7] == -1.0
    assert found.max() == 0.0


def test_the_filter_is_that_of_the_whole_volume(residual: np.ndarray, body: np.ndarray) -> None:
    found = measured(residual, body=body, median_voxels=5).residual
    cut = np.where(body, residual, 0)
    for x, y, z in ((2, 2, 2), (5, 6, 7), (9, 9, 2)):
        cube = cut[x - 2 : x + 3, y - 2 : y + 3, z - 2 : z + 3]
        assert found[x, y, z] == pytest.approx(np.median(cube), rel=1e-6)


def test_a_slice_can_be_filtered() -> None:
    residual = np.zeros((9, 9, 1))
    residual[3:6, 3:6] = 2.0
    residual[0, 8] = 7.0
    found = measured(residual, median_voxels=3).residual
    assert found[4, 4, 0] == 2.0
    assert found[0, 8, 0] == 0.0


def test_the_rim_is_eroded_in_millimetres(residual: np.ndarray, body: np.ndarray) -> None:
    inside = measured(residual, body=body, erode_mm=2.0, spacing_mm=(1.0, 2.0, 4.0)).inside
    assert np.array_equal(np.argwhere(inside.any(axis=(1, 2))).ravel(), np.arange(4, 8))
    assert np.array_equal(np.argwhere(inside.any(axis=(0, 2))).ravel(), np.arange(3, 9))
    assert np.array_equal(np.argwhere(inside.any(axis=(0, 1))).ravel(), np.arange(2, 10))
    assert not measured(residual, body=body, erode_mm=1.0).inside[2].any()


def test_a_body_that_fills_the_volume_has_a_rim_too(residual: np.ndarray) -> None:
    assert measured(residual, erode_mm=1.0).inside.sum() == 10**3


def test_only_what_is_bright_may_count(residual: np.ndarray, body: np.ndarray) -> None:
    source = np.arange(residual.size, dtype=float).reshape(SHAPE)
    found = measured(residual, body=body, source=source, brighter_than=0.75)
    assert found.inside.sum() == 128
    assert found.inside[body & (source > np.quantile(source[body], 0.75))].all()
    assert not found.residual[~found.inside].any()


def test_nothing_to_count_is_refused_with_numbers(residual: np.ndarray, body: np.ndarray) -> None:
    with pytest.raises(Refusal, match=r"E_EMPTY_MASK.* 0 of the body's 512 voxels"):
        measured(residual, body=body, erode_mm=9.0)


def test_a_hole_in_the_answer_is_refused(residual: np.ndarray) -> None:
    residual[3, 3, 3] = np.nan
    with pytest.raises(Refusal, match="E_ANSWER_NOT_FINITE"):
        measured(residual)


def test_depth_is_never_negative() -> None:
    values = np.array([-2.0, 0.0, 1.0])
    assert depth(values, "both").tolist() == [2.0, 0.0, 1.0]
    assert depth(values, "positive").tolist() == [0.0, 0.0, 1.0]
    assert depth(values, "negative").tolist() == [2.0, 0.0, 0.0]
