"""Means with their spread, and intervals by resampling patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
SEED = 0
LEVEL = 0.95
FEW_PATIENTS = 10
_CELLS = 4_000_000


@dataclass(frozen=True)
class Spread:
    """One score over the cases: `cases` counts the finite values that the statistics rest on."""

    mean: float
    sd: float
    median: float
    minimum: float
    maximum: float
    interval: tuple[float, float]
    cases: int
    patients: int
    nan: int
    infinite: int

    def as_json(self) -> dict[str, object]:
        """Return a JSON object; what does not exist (one case has no sd) is null."""
        return {
            "mean": number(self.mean),
            "sd": number(self.sd),
            "median": number(self.median),
            "min": number(self.minimum),
            "max": number(self.maximum),
            "ci95": [number(end) for end in self.interval],
            "cases": self.cases,
            "patients": self.patients,
            "nan": self.nan,
            "infinite": self.infinite,
        }


def spread(values: Sequence[float], patients: Sequence[str]) -> Spread:
    """Describe one score over cases; NaN and infinite values are left out and counted.

    `patients` names each case's patient. The standard deviation is the sample's (n - 1); the
    interval is the bootstrap's (see `interval`).
    """
    everything = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(everything)
    kept = everything[finite]
    owners = [owner for owner, keep in zip(patients, finite, strict=True) if keep]
    nothing = math.nan
    return Spread(
        mean=float(kept.mean()) if kept.size else nothing,
        sd=float(kept.std(ddof=1)) if kept.size > 1 else nothing,
        median=float(np.median(kept)) if kept.size else nothing,
        minimum=float(kept.min()) if kept.size else nothing,
        maximum=float(kept.max()) if kept.size else nothing,
        interval=interval(kept, owners),
        cases=int(kept.size),
        patients=len(set(owners)),
        nan=int(np.isnan(everything).sum()),
        infinite=int(np.isinf(everything).sum()),
    )


def interval(
    values: Sequence[float] | NDArray[np.float64],
    patients: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Return the bootstrap percentile interval of the mean over cases, resampling patients.

    Whole patients are drawn with replacement, so that several cases of one patient do not pass
    for independent ones. (NaN, NaN) with fewer than two patients. Seeded: the same values in any
    order of patients give the same interval.
    """
    totals: dict[str, list[float]] = {}
    for value, patient in zip(values, patients, strict=True):
        totals.setdefault(patient, []).append(float(value))
    if len(totals) < 2:
        return math.nan, math.nan
    ordered = sorted((math.fsum(mine), len(mine)) for mine in totals.values())
    sums = np.array([total for total, _ in ordered])
    counts = np.array([count for _, count in ordered], dtype=np.float64)
    means = _resampled_means(sums, counts, resamples, seed)
    tail = (1.0 - level) / 2
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)


def _resampled_means(
    sums: NDArray[np.float64], counts: NDArray[np.float64], resamples: int, seed: int
) -> NDArray[np.float64]:
    """Return the mean over cases of each resample, in blocks that bound the memory."""
    patients = len(sums)
    if patients * resamples <= _CELLS:
        drawn = _drawn(patients, resamples, seed)
        return np.asarray((drawn @ sums) / (drawn @ counts))
    random = np.random.default_rng(seed)
    block = max(1, _CELLS // patients)
    means = []
    for start in range(0, resamples, block):
        drawn = draw(random, patients, min(block, resamples - start))
        means.append((drawn @ sums) / (drawn @ counts))
    return np.concatenate(means)


@lru_cache(maxsize=2)
def _drawn(patients: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """Return how often each resample has each patient: the same for every score, so kept."""
    return draw(np.random.default_rng(seed), patients, resamples)


def draw(random: np.random.Generator, patients: int, size: int) -> NDArray[np.float64]:
    """Return how often each of `size` resamples has each patient (size, patients)."""
    drawn = random.multinomial(patients, np.full(patients, 1.0 / patients), size=size)
    return drawn.astype(np.float64)


def holm(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Return Holm's adjustment of p-values for their number; NaN stays NaN and is not counted."""
    known = sorted((p, name) for name, p in probabilities.items() if not math.isnan(p))
    adjusted = dict.fromkeys(probabilities, math.nan)
    largest = 0.0
    for rank, (probability, name) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * probability))
        adjusted[name] = largest
    return adjusted


def number(value: float) -> float | None:
    """Return a float as JSON can hold it: null for NaN and infinity."""
    return value if math.isfinite(value) else None
