"""How far two sets of images lie apart, measured on feature vectors: no pairs are needed.

Both distances depend on the network that the features are from, so a figure means something beside
others of the same network, and beside two halves of the references, only. Vectors of one patient
are not independent of one another: `owners` name whose each vector is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medgen.problems import Problem, Refusal

Array = NDArray[np.float64]
Owners = Sequence[str]

_ROWS = 1024
"""Rows of the kernel's matrix that are held at once."""


def frechet_distance(first: Array, second: Array) -> float:
    """Return the Fréchet distance of the normal distributions fitted to two sets of vectors (N, D).

    |m1 - m2|² + Tr(S1 + S2 - 2 (S1 S2)^½), with covariances of N - 1: Heusel et al., GANs trained
    by a two time-scale update rule, NeurIPS 2017, equation 6. The trace of the root is the sum of
    the singular values of R1 R2ᵀ, where S = Rᵀ R: no root of a matrix that rounding has made
    indefinite, and no constant added to one that is singular. Few vectors make it too large.

    Raises:
        Refusal: E_FEATURES_SHAPE, or E_FRECHET_CASES where a set has no more vectors than they have
            features, so that its covariance is singular.
    """
    first, second = _checked(first, second)
    count, features = min(len(first), len(second)), first.shape[1]
    if count <= features:
        message = f"N = {count} does not exceed the {features} features: no covariance can be had"
        raise Refusal(Problem("E_FRECHET_CASES", message, "read the KID, or take more cases"))
    apart = first.mean(axis=0) - second.mean(axis=0)
    one, other = _root(first), _root(second)
    shared = float(np.linalg.svd(one @ other.T, compute_uv=False).sum())
    return float(apart @ apart + (one**2).sum() + (other**2).sum() - 2.0 * shared)


def kernel_distance(
    first: Array,
    second: Array,
    *,
    first_owners: Owners | None = None,
    second_owners: Owners | None = None,
) -> float:
    """Return the squared maximum mean discrepancy of two sets of vectors (N, D), unbiased.

    The kernel is (x·y / D + 1)³: Bińkowski et al., Demystifying MMD GANs, ICLR 2018, section 4,
    and the estimator Gretton et al., JMLR 13:723 (2012), equation 3. It is 0 on average where both
    sets are of one distribution, at any N, and therefore negative as often as not.

    Only vectors of two owners are compared, within the sets and across. Several vectors of one
    patient resemble each other, which would raise it, and an answer resembles the truth of its own
    case, which would lower it: by ten times its standard deviation for ten cases whose answers and
    truths correlate by 0.9. Without owners every vector has one of its own.

    Raises:
        Refusal: E_FEATURES_SHAPE, or E_KERNEL_CASES with fewer than two owners in a set.
    """
    similarity = similarities(first, second, first_owners, second_owners)
    return similarity.distance(similarity.in_first, similarity.in_second)


@dataclass(frozen=True, eq=False)
class Similarities:
    """The kernel summed by owner (P, P) within the first set, within the second, and across.

    The sums of an owner with itself are 0. `in_first` and `in_second` tell who is in which set.
    """

    within_first: Array
    within_second: Array
    across: Array
    first_counts: Array
    second_counts: Array

    @property
    def in_first(self) -> NDArray[np.bool_]:
        """Who has vectors in the first set."""
        return self.first_counts > 0

    @property
    def in_second(self) -> NDArray[np.bool_]:
        """Who has vectors in the second set."""
        return self.second_counts > 0

    def distance(self, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
        """Return the distance of the first set's owners in `first` to the second's in `second`.

        Raises:
            Refusal: E_KERNEL_CASES with fewer than two owners on a side.
        """
        first, second = first & self.in_first, second & self.in_second
        least = int(min(first.sum(), second.sum()))
        if least < 2:
            message = f"a set is of {least} patient{'s' if least != 1 else ''}, and takes two"
            raise Refusal(Problem("E_KERNEL_CASES", message, "give more cases"))
        one, other = self.first_counts * first, self.second_counts * second
        return (
            _mean(self.within_first, first, first, one, one)
            + _mean(self.within_second, second, second, other, other)
            - 2.0 * _mean(self.across, first, second, one, other)
        )


def similarities(
    first: Array,
    second: Array,
    first_owners: Owners | None = None,
    second_owners: Owners | None = None,
) -> Similarities:
    """Return the kernel's sums by owner, from which `kernel_distance` of any owners follows.

    Raises:
        Refusal: E_FEATURES_SHAPE.
    """
    first, second = _checked(first, second)
    one = _named(first, first_owners, "first")
    other = _named(second, second_owners, "second")
    known = {owner: place for place, owner in enumerate(dict.fromkeys([*one, *other]))}
    places = [np.array([known[owner] for owner in owners]) for owners in (one, other)]
    sums = [
        _sums(x, y, places[i], places[j], len(known))
        for (x, i), (y, j) in (
            ((first, 0), (first, 0)),
            ((second, 1), (second, 1)),
            ((first, 0), (second, 1)),
        )
    ]
    counts = [np.bincount(place, minlength=len(known)).astype(np.float64) for place in places]
    return Similarities(sums[0], sums[1], sums[2], counts[0], counts[1])


def _mean(
    sums: Array,
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    one: Array,
    other: Array,
) -> float:
    """Return the mean of the kernel over pairs of two owners."""
    pairs = float(one.sum() * other.sum() - one @ other)
    return float(first.astype(np.float64) @ sums @ second.astype(np.float64)) / pairs


def _sums(
    first: Array,
    second: Array,
    one: NDArray[np.int_],
    other: NDArray[np.int_],
    owners: int,
) -> Array:
    """Return the kernel summed by owner (P, P), without an owner's pairs with itself."""
    total = np.zeros((owners, owners))
    whose = np.zeros((len(second), owners))
    whose[np.arange(len(second)), other] = 1.0
    for start in range(0, len(first), _ROWS):
        rows = slice(start, start + _ROWS)
        kernel = (first[rows] @ second.T / first.shape[1] + 1.0) ** 3
        np.add.at(total, one[rows], kernel @ whose)
    np.fill_diagonal(total, 0.0)
    return total


def _root(vectors: Array) -> Array:
    """Return R (D, D) with Rᵀ R the covariance of vectors (N, D), N - 1 in its denominator."""
    centred = (vectors - vectors.mean(axis=0)) / np.sqrt(len(vectors) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r"))


def _named(vectors: Array, owners: Owners | None, side: str) -> list[str]:
    """Return the owner of each vector; names made up here are different on both sides."""
    if owners is None:
        return [f"{side} {index}" for index in range(len(vectors))]
    if len(owners) != len(vectors):
        raise ValueError(f"{len(owners)} owners of {len(vectors)} vectors")
    return list(owners)


def _checked(first: Array, second: Array) -> tuple[Array, Array]:
    """Return both sets in float64, or refuse what is no two sets of like finite vectors."""
    one, other = (np.asarray(each, dtype=np.float64) for each in (first, second))
    like = one.ndim == other.ndim == 2 and one.shape[1] == other.shape[1] > 0
    if not like or not (np.isfinite(one).all() and np.isfinite(other).all()):
        message = f"sets of shapes {one.shape} and {other.shape} are not finite vectors of a length"
        raise Refusal(Problem("E_FEATURES_SHAPE", message, "take both from one network"))
    return one, other
