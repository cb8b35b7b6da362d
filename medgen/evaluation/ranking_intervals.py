"""Intervals of areas under curves by resampling patients: their cases are not independent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medgen.evaluation.statistics import LEVEL, RESAMPLES, SEED, draw

Floats = NDArray[np.float64]
FEWEST = 2
"""Patients with a positive case, and with a negative one, below which there is no interval."""
_CELLS = 2_000_000


class Intervals(NamedTuple):
    """Of the AUROC and of the average precision; (NaN, NaN) where there is none."""

    auroc: tuple[float, float]
    average_precision: tuple[float, float]


NO_INTERVALS = Intervals((math.nan, math.nan), (math.nan, math.nan))


def ranking_intervals(
    scores: Sequence[float],
    positive: Sequence[bool],
    patients: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
) -> Intervals:
    """Return bootstrap percentile intervals over whole patients, drawn with replacement.

    A patient brings all of its cases, healthy ones and others alike. Resamples without a positive
    or without a negative case are left out. Percentiles are moved by what the resamples' mean is
    off the figure itself: who is drawn twice meets its own healthy twin, and its own rank, more
    often than in the cohort. There is no interval with fewer than two patients on a side, and none
    where every resample gives the same figure: perfect separation of a few cases is not certain.
    Seeded: cases in any order give the same interval.
    """
    cases = sorted(zip(patients, scores, positive, strict=True), key=lambda case: case[1])[::-1]
    sides = [{owner for owner, _, is_positive in cases if is_positive == s} for s in (True, False)]
    if min(map(len, sides)) < FEWEST:
        return NO_INTERVALS
    values = np.array([score for _, score, _ in cases], np.float64)
    hit = np.array([is_positive for _, _, is_positive in cases], np.float64)
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    drawn = _weights(_places(cases), resamples, seed)
    both = np.concatenate([_areas(weights, hit, ends) for weights in drawn], axis=1)
    kept = both[:, np.isfinite(both).all(axis=0)]
    area, precision = _areas(np.ones((1, len(values))), hit, ends)[:, 0]
    return Intervals(_interval(kept[0], area, level), _interval(kept[1], precision, level))


def _places(cases: Sequence[tuple[str, float, bool]]) -> NDArray[np.int_]:
    """Return each case's patient as a number, in an order that rests on the cases alone."""
    held: dict[str, list[tuple[float, bool]]] = {}
    for owner, score, positive in cases:
        held.setdefault(owner, []).append((score, positive))
    order = sorted(held, key=lambda owner: sorted(held[owner]))
    number = {owner: place for place, owner in enumerate(order)}
    return np.array([number[owner] for owner, _, _ in cases])


def _weights(places: NDArray[np.int_], resamples: int, seed: int) -> Iterator[Floats]:
    """Yield how often each resample has each case (r, cases), in blocks that bound the memory."""
    patients = int(places.max()) + 1
    random = np.random.default_rng(seed)
    block = max(1, _CELLS // len(places))
    for start in range(0, resamples, block):
        yield draw(random, patients, min(block, resamples - start))[:, places]


def _areas(weights: Floats, hit: Floats, ends: NDArray[Any]) -> Floats:
    """Return AUROC and average precision (2, r) of weighted cases, the highest first.

    `ends` are the last places of cases with equal scores. NaN where a side has no weight.
    """
    hits = np.cumsum(weights * hit, axis=1)[:, ends]
    alarms = np.cumsum(weights * (1.0 - hit), axis=1)[:, ends]
    positives, negatives = hits[:, -1], alarms[:, -1]
    own = np.diff(hits, axis=1, prepend=0.0)
    below = negatives[:, None] - alarms + np.diff(alarms, axis=1, prepend=0.0) / 2.0
    precision = hits / np.maximum(hits + alarms, 1.0)
    with np.errstate(invalid="ignore"):
        area = (own * below).sum(axis=1) / (positives * negatives)
        mean = np.where(negatives > 0, (own * precision).sum(axis=1), np.nan) / positives
    return np.stack([area, mean])


def _interval(values: Floats, figure: float, level: float) -> tuple[float, float]:
    """Return percentiles of resampled values, less their bias, within 0 to 1."""
    if not values.size or float(np.ptp(values)) < 1e-12:
        return math.nan, math.nan
    tail = (1.0 - level) / 2
    ends = np.quantile(values, [tail, 1.0 - tail]) - (values.mean() - figure)
    low, high = np.clip(ends, 0.0, 1.0)
    return float(low), float(high)
