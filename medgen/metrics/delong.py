"""The interval of an area under the ROC curve, of cases that may share patients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from medgen.metrics.anomaly import Array

LEVEL = 0.95


Owners = tuple[Sequence[str], Sequence[str]]
"""The patient of each positive and of each negative case."""
_NOTHING = 1e-15
"""A variance that is rounding."""


def delong_variance(positives: Array, negatives: Array, owners: Owners | None = None) -> float:
    """Return the variance of the AUROC of positives (P,) against negatives (N,).

    DeLong, DeLong and Clarke-Pearson, Biometrics 44:837 (1988), by midranks: Sun and Xu, IEEE
    Signal Processing Letters 21:1389 (2014), equations 5 to 12. With `owners` patients may have
    several cases, healthy ones and others: Obuchowski, Biometrics 53:567 (1997), which is the same
    where each has one. Without, every case is a patient's only one. NaN with fewer than two
    patients on a side.
    """
    hits, alarms = len(positives), len(negatives)
    names = owners or ([f"+{i}" for i in range(hits)], [f"-{i}" for i in range(alarms)])
    patients, places = np.unique([*names[0], *names[1]], return_inverse=True)
    sides = len(set(names[0])), len(set(names[1]))
    if min(sides) < 2:
        return math.nan
    together = _midranks(np.concatenate([positives, negatives]))
    of_positives = (together[:hits] - _midranks(positives)) / alarms
    of_negatives = 1.0 - (together[hits:] - _midranks(negatives)) / hits
    area = of_positives.mean()
    one, other = (
        np.bincount(where, (parts - area) / len(parts), minlength=len(patients))
        for where, parts in ((places[:hits], of_positives), (places[hits:], of_negatives))
    )
    freed = [count / (count - 1) for count in (*sides, len(patients))]
    shares = (one @ one, other @ other, 2.0 * (one @ other))
    return float(sum(free * share for free, share in zip(freed, shares, strict=True)))


def delong_interval(
    positives: Array, negatives: Array, owners: Owners | None = None, *, level: float = LEVEL
) -> tuple[float, float]:
    """Return the interval of the AUROC of positives (P,) against negatives (N,).

    It is symmetric in logit(AUROC) with the variance carried over by the delta method (Pepe, The
    Statistical Evaluation of Medical Tests, 2003, section 5.2.4), so that it stays within 0 to 1
    and reaches further down than up where the area is large. (NaN, NaN) with fewer than two
    patients on a side, and where the variance or its place says nothing: an area of exactly 0 or
    1, or nothing but ties.
    """
    variance = delong_variance(positives, negatives, owners)
    if math.isnan(variance) or variance < _NOTHING:
        return math.nan, math.nan
    hits = len(positives)
    ranks = _midranks(np.concatenate([positives, negatives]))[:hits].sum()
    area = (float(ranks) - hits * (hits + 1) / 2.0) / (hits * len(negatives))
    if area <= 0.0 or area >= 1.0:
        return math.nan, math.nan
    centre = math.log(area / (1.0 - area))
    reach = float(stats.norm.ppf((1.0 + level) / 2.0)) * math.sqrt(variance) / (area * (1.0 - area))
    return _expit(centre - reach), _expit(centre + reach)


def _expit(value: float) -> float:
    """Return 1 / (1 + exp(-value)) without overflow."""
    return float(0.5 * (1.0 + math.tanh(0.5 * value)))


def _midranks(values: Array) -> NDArray[np.float64]:
    """Return the ranks (N,) from 1; equal numbers share the mean of theirs."""
    return np.asarray(stats.rankdata(values, method="average"), np.float64)
