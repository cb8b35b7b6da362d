"""Distances between sets of feature vectors, against other implementations and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics.fid import get_fid_score
from scipy import linalg

from medgen.metrics.distribution import frechet_distance, kernel_distance, similarities
from medgen.problems import Refusal

Pair = tuple[np.ndarray, np.ndarray]


def sets(seed: int, first: int = 40, second: int = 55, features: int = 7) -> Pair:
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(features, features))
    one = random.normal(size=(first, features)) @ mixing
    return one, 2.0 * random.normal(size=(second, features)) + random.normal(size=features)


@pytest.mark.parametrize("seed", range(5))
def test_frechet_is_that_of_scipys_matrix_root(seed: int) -> None:
    one, other = sets(seed)
    first, second = np.cov(one.T), np.cov(other.T)
    apart = one.mean(axis=0) - other.mean(axis=0)
    root = linalg.sqrtm(first @ second).real
    expected = apart @ apart + np.trace(first + second - 2.0 * root)
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-9)


@pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")  # MONAI's call
@pytest.mark.parametrize("seed", range(5))
def test_frechet_is_that_of_monai(seed: int) -> None:
    one, other = sets(seed)
    expected = float(get_fid_score(torch.from_numpy(one), torch.from_numpy(other)))
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-6)


def whitened(seed: int, count: int, features: int) -> np.ndarray:
    """Return vectors whose mean is exactly 0 and whose covariance is exactly the identity."""
    values = np.random.default_rng(seed).normal(size=(count, features))
    values -= values.mean(axis=0)
    return values @ np.linalg.inv(np.linalg.cholesky(np.cov(values.T)).T)


@settings(max_examples=25, deadline=None)
@given(
    means=st.lists(st.floats(-5, 5), min_size=3, max_size=3),
    deviations=st.lists(st.floats(0.01, 10), min_size=6, max_size=6),
)
def test_frechet_of_two_gaussians_is_its_closed_form(
    means: list[float], deviations: list[float]
) -> None:
    one, other = np.array(deviations[:3]), np.array(deviations[3:])
    first = whitened(1, 20, 3) * one + means
    second = whitened(2, 30, 3) * other
    # Commuting covariances: sum of (mean difference)^2 + (deviation difference)^2.
    expected = (np.array(means) ** 2).sum() + ((one - other) ** 2).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_frechet_survives_features_that_never_vary_and_scales_far_apart() -> None:
    one, other = sets(3)
    one, other = one * 10.0 ** np.arange(-6, 1), other * 10.0 ** np.arange(-6, 1)
    one[:, 0] = other[:, 0] = 4.0  # a dead channel: both covariances are singular
    without = frechet_distance(one[:, 1:], other[:, 1:])
    assert frechet_distance(one, other) == pytest.approx(without, rel=1e-9)
    assert frechet_distance(one, one) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("counts", [(7, 40), (40, 7), (3, 3)])
def test_frechet_is_refused_where_n_does_not_exceed_the_features(counts: tuple[int, int]) -> None:
    with pytest.raises(
        Refusal, match=rf"N = {min(counts)} does not exceed the 7 features"
    ) as error:
        frechet_distance(*sets(0, *counts))
    assert [problem.code for problem in error.value.problems] == ["E_FRECHET_CASES"]
    frechet_distance(*sets(0, 8, 8))


def naive(
    one: np.ndarray, other: np.ndarray, first: list[str] | None, second: list[str] | None
) -> float:
    """Return the distance by loops over pairs of two owners."""

    def mean(x: np.ndarray, y: np.ndarray, apart: list[list[bool]]) -> float:
        kernel = [
            (float(np.dot(a, b)) / len(a) + 1.0) ** 3
            for i, a in enumerate(x)
            for j, b in enumerate(y)
            if apart[i][j]
        ]
        return sum(kernel) / len(kernel)

    a = first or [f"a{i}" for i in range(len(one))]
    b = second or [f"b{i}" for i in range(len(other))]
    return (
        mean(one, one, [[p != q for q in a] for p in a])
        + mean(other, other, [[p != q for q in b] for p in b])
        - 2.0 * mean(one, other, [[p != q for q in b] for p in a])
    )


@pytest.mark.parametrize("seed", range(3))
def test_kernel_is_that_of_two_loops(seed: int) -> None:
    one, other = sets(seed, 9, 12, 5)
    assert kernel_distance(one, other) == pytest.approx(naive(one, other, None, None), rel=1e-10)
    first = [f"p{i // 2}" for i in range(9)]
    second = [f"p{i // 3 + 2}" for i in range(12)]
    found = kernel_distance(one, other, first_owners=first, second_owners=second)
    assert found == pytest.approx(naive(one, other, first, second), rel=1e-10)


def test_kernel_does_not_depend_on_how_many_rows_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = sets(4)
    whole = kernel_distance(one, other)
    monkeypatch.setattr("medgen.metrics.distribution._ROWS", 7)
    assert kernel_distance(one, other) == pytest.approx(whole, rel=1e-12)


def test_any_owners_distance_follows_from_the_sums() -> None:
    one, other = sets(5, 10, 14)
    first, second = [f"p{i // 2}" for i in range(10)], [f"p{i // 2 + 3}" for i in range(14)]
    known = similarities(one, other, first, second)
    names = list(dict.fromkeys([*first, *second]))
    kept = np.array([name not in ("p1", "p4") for name in names])
    rows = [[name not in ("p1", "p4") for name in side] for side in (first, second)]
    expected = naive(
        one[rows[0]],
        other[rows[1]],
        [name for name in first if name not in ("p1", "p4")],
        [name for name in second if name not in ("p1", "p4")],
    )
    assert known.distance(kept, kept) == pytest.approx(expected, rel=1e-10)


def test_kernel_is_zero_on_average_where_both_sets_are_alike() -> None:
    random = np.random.default_rng(0)
    found = [
        kernel_distance(random.normal(size=(4, 6)), random.normal(size=(7, 6))) for _ in range(2000)
    ]
    error = float(np.std(found)) / len(found) ** 0.5
    assert abs(float(np.mean(found))) < 3 * error
    assert np.mean(np.array(found) < 0) > 0.3


@pytest.mark.parametrize("known", [True, False])
def test_kernel_is_unbiased_for_answers_that_resemble_their_own_truths(known: bool) -> None:
    """Two windows each of six patients, answers near their truths: only owners make it right."""
    random = np.random.default_rng(1)
    owners = [f"p{i // 2}" for i in range(12)]
    found = []
    for _ in range(1500):
        truth = np.repeat(random.normal(size=(6, 6)), 2, axis=0) + random.normal(size=(12, 6))
        answer = 0.9 * truth + (1 - 0.9**2) ** 0.5 * 2**0.5 * random.normal(size=(12, 6))
        named = {"first_owners": owners, "second_owners": owners} if known else {}
        found.append(kernel_distance(answer, truth, **named))
    error = float(np.std(found)) / len(found) ** 0.5
    assert (abs(float(np.mean(found))) < 3 * error) is known


def test_a_set_is_at_no_distance_of_itself() -> None:
    one, _ = sets(2)
    owners = [f"p{i}" for i in range(len(one))]
    found = kernel_distance(one, one, first_owners=owners, second_owners=owners)
    assert found == pytest.approx(0.0, abs=1e-9)


def test_kernel_takes_two_patients_not_two_vectors() -> None:
    one, other = sets(0, 6, 2)
    kernel_distance(one, other)
    for owners in (["a"] * 6, None):
        with pytest.raises(Refusal, match="of 1 patient, and takes two") as error:
            kernel_distance(one, other[: 2 if owners else 1], first_owners=owners)
        assert [problem.code for problem in error.value.problems] == ["E_KERNEL_CASES"]


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_what_is_no_two_sets_of_vectors_is_refused(distance: object) -> None:
    one, other = sets(0)
    broken = one.copy()
    broken[3, 2] = np.nan
    for pair in ((one, other[:, :-1]), (one, other[0]), (broken, other)):
        with pytest.raises(Refusal, match="E_FEATURES_SHAPE"):
            distance(*pair)  # type: ignore[operator]
    with pytest.raises(ValueError, match="3 owners of 40 vectors"):
        kernel_distance(one, other, first_owners=["a", "b", "c"])
