import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgen.metrics.delong import delong_interval, delong_variance

some = st.lists(st.integers(0, 8), min_size=2, max_size=20)


@settings(max_examples=100, deadline=None)
@given(some, some)
def test_the_variance_is_that_of_all_pairs(positives: list[int], negatives: list[int]) -> None:
    one, other = np.array(positives, float)[:, None], np.array(negatives, float)[None, :]
    kernel = (one > other) + 0.5 * (one == other)
    by_positive, by_negative = kernel.mean(axis=1), kernel.mean(axis=0)
    expected = by_positive.var(ddof=1) / len(positives) + by_negative.var(ddof=1) / len(negatives)
    found = delong_variance(np.array(positives, float), np.array(negatives, float))
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    truth = 0.5 * (1 + math.erf(1.2 / 2))  # of two normals 1.2 apart
    inside = 0
    for _ in range(400):
        low, high = delong_interval(random.normal(1.2, 1, 40), random.normal(0, 1, 40))
        assert 0 < low < high < 1
        inside += low <= truth <= high
    assert 0.92 <= inside / 400 <= 0.98


def test_the_interval_is_symmetric_in_the_logit() -> None:
    random = np.random.default_rng(1)
    positives, negatives = random.normal(1, 1, 30), random.normal(0, 1, 25)
    area = (positives[:, None] > negatives[None, :]).mean()
    low, high = (math.log(end / (1 - end)) for end in delong_interval(positives, negatives))
    centre = math.log(area / (1 - area))
    assert centre - low == pytest.approx(high - centre)
    wide = delong_interval(positives, negatives, level=0.99)
    assert wide[0] < 1 / (1 + math.exp(-low)) < 1 / (1 + math.exp(-high)) < wide[1]


def test_pairs_of_twins_hold_the_truth_as_often_as_the_interval_says() -> None:
    random = np.random.default_rng(4)
    truth = 0.5 * (1 + math.erf(0.4 / 2))
    names = [str(number) for number in range(20)]
    inside = alone = 0
    for _ in range(300):
        healthy = random.normal(0, 1, 20)
        sick = healthy + 0.4 + random.normal(0, 0.2, 20)
        low, high = delong_interval(sick, healthy, (names, names))
        inside += low <= truth <= high
        alone += np.ptp(delong_interval(sick, healthy)) > 1.5 * (high - low)
    assert 0.9 <= inside / 300 <= 0.98
    assert alone > 290  # taken for strangers, twins tell far less


@settings(max_examples=50, deadline=None)
@given(some, some, st.data())
def test_the_variance_of_shared_patients_is_obuchowskis(
    positives: list[int], negatives: list[int], data: st.DataObject
) -> None:
    """Equations 2 to 4 of Obuchowski 1997, patient by patient."""
    patient = st.sampled_from("abcdef")
    owners = [data.draw(patient) for _ in positives], [data.draw(patient) for _ in negatives]
    found = delong_variance(np.array(positives, float), np.array(negatives, float), owners)
    few = min(len(set(side)) for side in owners) < 2
    assert math.isnan(found) == few
    if few:
        return
    one, other = np.array(positives, float)[:, None], np.array(negatives, float)[None, :]
    kernel = (one > other) + 0.5 * (one == other)
    area, (m, n) = kernel.mean(), kernel.shape
    everyone = sorted({*owners[0], *owners[1]})
    x = {p: sum(kernel[i].mean() - area for i in range(m) if owners[0][i] == p) for p in everyone}
    y = {
        p: sum(kernel[:, j].mean() - area for j in range(n) if owners[1][j] == p) for p in everyone
    }
    i10, i01, i = len(set(owners[0])), len(set(owners[1])), len(everyone)
    s10 = i10 / ((i10 - 1) * m) * sum(value**2 for value in x.values())
    s01 = i01 / ((i01 - 1) * n) * sum(value**2 for value in y.values())
    s11 = i / (i - 1) * sum(x[p] * y[p] for p in everyone)
    assert found == pytest.approx(s10 / m + s01 / n + 2 * s11 / (m * n), abs=1e-12)
    assert found >= -1e-12


@pytest.mark.parametrize(
    ("positives", "negatives"),
    [([2.0], [0.0, 1.0]), ([5, 6, 7], [1, 2]), ([1, 1.5], [3, 4]), ([2, 2], [2, 2, 2])],
)
def test_too_few_or_perfect_numbers_have_no_interval(
    positives: list[float], negatives: list[float]
) -> None:
    ends = delong_interval(np.array(positives), np.array(negatives))
    assert all(map(math.isnan, ends))
