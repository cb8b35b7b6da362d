"""KID and FID of two sets of feature vectors, with intervals, floors and reasons, as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.evaluation.statistics import SEED, number
from medgen.metrics.distribution import frechet_distance, similarities
from medgen.metrics.jackknife import FEWEST, Estimate, jackknife
from medgen.problems import Refusal

Array = NDArray[np.float64]
Vectors = tuple[Array, list[str]]
"""Vectors (N, D), and whose each of them is."""

KERNEL_SPLITS, FRECHET_SPLITS = 100, 20
"""How often the references are cut in two halves."""
CONVENTIONS = (
    "KID: unbiased squared MMD with the kernel (x.y / D + 1)^3 (Binkowski 2018), over pairs of two "
    "patients only and not in subsets; 0 on average where both sets are alike, so it may be "
    "negative. FID: Heusel 2017, with covariances of N - 1, of all vectors, so that patients who "
    "are in both sets lower it, even below the floor; `corrected` is less its bias at this N. "
    "Neither is of Inception features. Intervals: "
    "delete-one-patient jackknife, Student's t. Floor: the references in two halves by patient, at "
    "random. Figures of other weights cannot be compared with these."
)


def distances_json(first: Vectors, second: Vectors) -> dict[str, Any]:
    """Return KID and FID of two sets of vectors, and of two halves of the second: the floor.

    What cannot be had has the value None and the reason under `unavailable`.
    """
    shared = set(first[1]) & set(second[1])
    return {
        "patients_in_both": len(shared),
        "prediction": {"n": len(first[0]), "patients": len(set(first[1]))},
        "reference": {"n": len(second[0]), "patients": len(set(second[1]))},
        "kid": _kernel(first, second),
        "fid": _frechet(first, second),
        "floor": _floor(second),
    }


def _kernel(first: Vectors, second: Vectors) -> dict[str, Any]:
    fewest = min(len(set(first[1])), len(set(second[1])))
    if fewest < 2:
        return _missing(f"a set is of {fewest} patient{'s' if fewest != 1 else ''}, and takes two")
    known = similarities(first[0], second[0], first[1], second[1])
    value = known.distance(known.in_first, known.in_second)
    if fewest < FEWEST:
        without = [math.nan]
    else:
        apart = ~np.eye(len(known.in_first), dtype=np.bool_)
        without = [known.distance(others, others) for others in apart]
    return _figure(jackknife(value, without, patients=fewest, unbiased=True))


def _frechet(first: Vectors, second: Vectors) -> dict[str, Any]:
    try:
        value = frechet_distance(first[0], second[0])
    except Refusal as refusal:
        return _missing(f"{refusal.problems[0].message}: read the KID")
    owners = list(dict.fromkeys([*first[1], *second[1]]))
    try:
        without = [frechet_distance(_less(first, owner), _less(second, owner)) for owner in owners]
    except Refusal:  # N exceeds the features, but not without one patient
        without = [math.nan]
    fewest = min(len(set(first[1])), len(set(second[1])))
    return _figure(jackknife(value, without, patients=fewest))


def _floor(vectors: Vectors) -> dict[str, Any]:
    """Return how far two halves of the references lie apart."""
    owners = list(dict.fromkeys(vectors[1]))
    half = len(owners) // 2
    facts: dict[str, Any] = {"patients": [half, len(owners) - half]}
    if half < 2:
        missing = _missing(f"{len(owners)} patients make no two halves of two")
        return {**facts, "kid": missing, "fid": missing}
    random = np.random.default_rng(SEED)
    drawn = [random.permutation(len(owners)) < half for _ in range(KERNEL_SPLITS)]
    known = similarities(vectors[0], vectors[0], vectors[1], vectors[1])
    kernel = _spread([known.distance(side, ~side) for side in drawn])
    try:
        frechet = _spread(
            [_between_halves(vectors, owners, side) for side in drawn[:FRECHET_SPLITS]]
        )
    except Refusal as refusal:
        frechet = _missing(f"in halves, {refusal.problems[0].message}")
    return {**facts, "kid": kernel, "fid": frechet}


def _between_halves(vectors: Vectors, owners: Sequence[str], side: NDArray[np.bool_]) -> float:
    known = dict(zip(owners, side, strict=True))
    here = np.array([known[owner] for owner in vectors[1]], dtype=np.bool_)
    return frechet_distance(vectors[0][here], vectors[0][~here])


def _less(vectors: Vectors, owner: str) -> Array:
    """Return the vectors without one patient's."""
    return vectors[0][np.array([each != owner for each in vectors[1]], dtype=np.bool_)]


def _spread(values: Sequence[float]) -> dict[str, Any]:
    median, high = (float(each) for each in np.quantile(values, [0.5, 0.95]))
    return {"median": median, "p95": high, "splits": len(values)}


def _figure(found: Estimate) -> dict[str, Any]:
    return {
        "value": number(found.value),
        "corrected": number(found.corrected),
        "ci95": [number(end) for end in found.interval],
    }


def _missing(reason: str) -> dict[str, Any]:
    return {"value": None, "unavailable": reason}
