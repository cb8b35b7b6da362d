"""The jackknife: its closed forms, and how often its intervals hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from medgen.metrics.distribution import frechet_distance, similarities
from medgen.metrics.jackknife import jackknife


def test_of_a_mean_it_is_students_interval() -> None:
    values = np.random.default_rng(0).normal(size=9)
    without = [float(np.delete(values, i).mean()) for i in range(9)]
    found = jackknife(float(values.mean()), without, patients=9)
    low, high = stats.t.interval(0.95, 8, values.mean(), stats.sem(values))
    assert found.interval == pytest.approx((low, high))
    assert found.corrected == pytest.approx(values.mean())


def test_it_takes_the_bias_off_a_variance_of_n() -> None:
    values = np.random.default_rng(1).normal(size=7)
    without = [float(np.delete(values, i).var()) for i in range(7)]
    found = jackknife(float(values.var()), without, patients=7)
    assert found.corrected == pytest.approx(values.var(ddof=1))
    kept = jackknife(float(values.var()), without, patients=7, unbiased=True)
    assert kept.corrected == kept.value == pytest.approx(values.var())


@pytest.mark.parametrize(("without", "patients"), [([1.0, 2.0], 2), ([1.0, math.nan, 2.0], 3)])
def test_without_enough_patients_there_is_no_interval(without: list[float], patients: int) -> None:
    found = jackknife(1.5, without, patients=patients)
    assert found.value == 1.5
    assert all(math.isnan(each) for each in (found.corrected, *found.interval))
    assert jackknife(1.5, without, patients=patients, unbiased=True).corrected == 1.5


SHIFT, FEATURES = 1.0, 12


@pytest.fixture(scope="module")
def truth() -> float:
    """Return the kernel's distance of N(0, 1) and N(SHIFT, 1) in FEATURES dimensions.

    E (s + 1)^3 with s = x.y / D of independent x, y has E s = m.n, and moments that follow from
    s | y being normal with mean m.y / D and variance |y|^2 / D^2, summed by a large sample.
    """
    random = np.random.default_rng(99)

    def mean(first: float, second: float) -> float:
        y = random.normal(size=(400_000, FEATURES)) + second
        centre = first * y.mean(axis=1) + 1.0
        variance = (y**2).sum(axis=1) / FEATURES**2
        return float((centre**3 + 3.0 * centre * variance).mean())

    return mean(0, 0) + mean(SHIFT, SHIFT) - 2.0 * mean(0, SHIFT)


def kernel_interval(
    one: np.ndarray, other: np.ndarray, first: list[str], second: list[str]
) -> tuple[float, float]:
    """Return the interval of the kernel's distance."""
    known = similarities(one, other, first, second)
    value = known.distance(known.in_first, known.in_second)
    apart = ~np.eye(len(known.in_first), dtype=np.bool_)
    without = [known.distance(each, each) for each in apart]
    found = jackknife(value, without, patients=len(one), unbiased=True)
    return found.interval


@pytest.mark.parametrize("paired", [False, True])
def test_the_kernels_interval_covers(paired: bool, truth: float) -> None:
    random = np.random.default_rng(3)
    names = [f"p{i}" for i in range(10)]
    others = names if paired else [f"q{i}" for i in range(10)]
    held = 0
    for _ in range(300):
        one = random.normal(size=(10, FEATURES))
        noise = random.normal(size=(10, FEATURES))
        other = (0.8 * one + 0.6 * noise if paired else noise) + SHIFT
        low, high = kernel_interval(one, other, names, others)
        held += low <= truth <= high
    assert 0.90 <= held / 300 <= 1.0


def test_frechets_interval_covers_less_its_bias_and_would_not_with_it() -> None:
    random = np.random.default_rng(4)
    held = plain = 0
    repeats, count, features = 60, 20, 8
    for _ in range(repeats):
        one, other = (random.normal(size=(count, features)) + shift for shift in (0.0, 0.5))
        value = frechet_distance(one, other)
        without = [frechet_distance(np.delete(one, i, 0), other) for i in range(count)]
        without += [frechet_distance(one, np.delete(other, i, 0)) for i in range(count)]
        found = jackknife(value, without, patients=count)
        expected = features * 0.5**2
        held += found.interval[0] <= expected <= found.interval[1]
        reach = found.corrected - found.interval[0]
        plain += abs(value - expected) <= reach
    assert held / repeats >= 0.85
    assert plain / repeats <= 0.75
