"""Intervals of figures that are no means: leave out one patient at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
FEWEST = 3
"""Patients on a side from which on leaving one out still leaves two."""


@dataclass(frozen=True)
class Estimate:
    """A figure, the same less the bias that the jackknife finds, and an interval around that."""

    value: float
    corrected: float
    interval: tuple[float, float]
    """(NaN, NaN) where there are too few patients."""


def jackknife(
    value: float,
    without: Sequence[float],
    *,
    patients: int,
    unbiased: bool = False,
    level: float = LEVEL,
) -> Estimate:
    """Return an estimate with its interval, from the figure `without` each patient in turn.

    Bias and variance as Quenouille and Tukey estimate them (Efron and Stein, Annals of Statistics
    9:586, 1981: the variance is too large rather than too small), with Student's t of one degree
    less than there are `patients` in the smaller set. A bootstrap would be no use: it draws some
    patients twice, who resemble themselves perfectly, so that each resample is too far away.

    `without` leaves each patient out of both sets where both hold it. An `unbiased` figure is not
    corrected.
    """
    left = np.asarray(without, dtype=np.float64)
    if patients < FEWEST or not np.isfinite(left).all():
        return Estimate(value, value if unbiased else math.nan, (math.nan, math.nan))
    share = (patients - 1) / patients
    corrected = value if unbiased else value - share * float((left - value).sum())
    deviation = math.sqrt(share * float(((left - left.mean()) ** 2).sum()))
    reach = float(stats.t.ppf((1.0 + level) / 2.0, patients - 1)) * deviation
    return Estimate(value, corrected, (corrected - reach, corrected + reach))
