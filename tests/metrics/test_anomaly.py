import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from medgen.metrics.anomaly import auroc, average_precision, rank, rank_labelled
from medgen.problems import Refusal

few = st.lists(st.integers(0, 6), min_size=1, max_size=25)


def brute_force_precision(positives: list[float], negatives: list[float]) -> float:
    """Walk down all thresholds, positives' or not, and add each step of recall."""
    total, before = 0.0, 0.0
    for threshold in sorted({*positives, *negatives}, reverse=True):
        hits = sum(value >= threshold for value in positives)
        alarms = sum(value >= threshold for value in negatives)
        recall = hits / len(positives)
        total += (recall - before) * hits / (hits + alarms)
        before = recall
    return total


@settings(max_examples=150, deadline=None)
@given(few, few)
def test_areas_are_those_of_their_definitions_with_ties(
    positives: list[int], negatives: list[int]
) -> None:
    found = rank(np.array(positives, float), np.array(negatives, float))
    known = mannwhitneyu(positives, negatives).statistic / (len(positives) * len(negatives))
    assert found.auroc == pytest.approx(known, abs=1e-12)
    expected = brute_force_precision([*map(float, positives)], [*map(float, negatives)])
    assert found.average_precision == pytest.approx(expected, abs=1e-12)
    best = max(
        2
        * sum(v >= t for v in positives)
        / (len(positives) + sum(v >= t for v in [*positives, *negatives]))
        for t in {*positives, *negatives}
    )
    dice, threshold = found.oracle_dice
    assert dice == pytest.approx(best, abs=1e-12)
    chosen = sum(v >= threshold for v in positives), sum(v >= threshold for v in negatives)
    assert dice == pytest.approx(2 * chosen[0] / (len(positives) + sum(chosen)))


@given(st.lists(few, min_size=1, max_size=4), few)
def test_negatives_in_parts_count_as_one(parts: list[list[int]], positives: list[int]) -> None:
    whole = rank(np.array(positives), np.array([*itertools.chain(*parts)]))
    apart = rank(np.array(positives), [np.array(part) for part in parts])
    for name in ("thresholds", "hits", "alarms", "above"):
        np.testing.assert_array_equal(getattr(apart, name), getattr(whole, name))
    assert (apart.positives, apart.negatives) == (whole.positives, whole.negatives)


def test_numbers_drawn_at_random_have_the_average_precision_of_chance() -> None:
    random = np.random.default_rng(0)
    positive = random.random(40_000) < 0.03
    scores = random.random(40_000).astype(np.float32)
    found = rank_labelled(scores, positive)
    assert found.chance == positive.mean()
    assert found.average_precision == pytest.approx(found.chance, rel=0.1)
    assert found.auroc == pytest.approx(0.5, abs=0.02)
    assert auroc(scores, positive) == found.auroc
    assert average_precision(scores, positive) == found.average_precision


def test_many_voxels_do_not_overflow_a_product_of_counts() -> None:
    level = np.zeros(3_000_000, np.float32)
    found = rank(level, [level, level])
    assert found.auroc == 0.5
    assert found.average_precision == pytest.approx(1 / 3)


def test_what_cannot_be_had_is_nan_or_refused() -> None:
    nothing, some = np.array([]), np.array([1.0, 2.0])
    assert math.isnan(rank(nothing, some).auroc)
    assert math.isnan(rank(nothing, some).average_precision)
    assert all(map(math.isnan, rank(nothing, some).oracle_dice))
    assert math.isnan(rank(some, nothing).auroc)
    assert rank(some, nothing).average_precision == 1.0
    assert math.isnan(rank(nothing, nothing).chance)
    with pytest.raises(Refusal) as error:
        rank(some, [some, np.array([math.nan, 1.0, math.inf])])
    (problem,) = error.value.problems
    assert problem.code == "E_METRIC_NONFINITE"
    assert "2 of 3" in problem.message
