"""How well a map of uncertainties tells where an answer is wrong, and by how much.

- *Rank*: Spearman's correlation of the uncertainty with the absolute error, voxel by voxel.
- *Sparsification* (Ilg et al., ECCV 2018): leave out the most uncertain voxels, a share after the
  other, and see what error the rest has, relative to that of all. The oracle leaves out those that
  are most wrong; chance leaves 1. AUSE is the area between the map's curve and the oracle's; the
  gain is what the map takes off chance as a share of what the oracle takes off: 1 is as good as
  knowing the error, 0 as good as nothing.
- *Calibration*: voxels in bins of equal numbers by their uncertainty; the root of the mean squared
  error of each bin beside the root of its mean squared uncertainty. Their ratio over all voxels is
  what the map must be multiplied by to be as large as the errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.floating]
STEPS, BINS = 20, 10


@dataclass(frozen=True, eq=False)
class Scores:
    """One map held against one error."""

    pearson: float
    spearman: float
    ause: float
    gain: float
    curve: NDArray[np.float64]
    """The error left (STEPS,), relative to that of all, without 0, 1 / STEPS, ... of the voxels."""
    oracle: NDArray[np.float64]


def scores_of(uncertainty: Array, error: Array) -> Scores:
    """Score the uncertainties (N,) of voxels, any increasing measure, by their absolute errors."""
    curve, oracle = sparsified(uncertainty, error), sparsified(error, error)
    return Scores(
        pearson=float(np.corrcoef(uncertainty, error)[0, 1]),
        spearman=float(stats.spearmanr(uncertainty, error).statistic),
        ause=float((curve - oracle).mean()),
        gain=float((1.0 - curve).sum() / (1.0 - oracle).sum()),
        curve=curve,
        oracle=oracle,
    )


def sparsified(measure: Array, error: Array) -> NDArray[np.float64]:
    """Return the mean error (STEPS,) without the voxels of the largest measure, relative to all."""
    in_order = np.asarray(error, dtype=np.float64)[np.argsort(measure, kind="stable")]
    means = np.cumsum(in_order) / np.arange(1, len(in_order) + 1)
    kept = np.round(len(in_order) * (1.0 - np.arange(STEPS) / STEPS)).astype(int)
    return np.asarray(means[kept - 1] / means[-1])


def binned(uncertainty: Array, error: Array) -> NDArray[np.float64]:
    """Return per bin (BINS, 2) the root mean squared uncertainty and error."""
    bins = np.array_split(np.argsort(uncertainty, kind="stable"), BINS)
    rows = [(_rms(uncertainty[places]), _rms(error[places])) for places in bins]
    return np.asarray(rows, dtype=np.float64)


def factor_of(uncertainty: Array, error: Array) -> float:
    """Return how many times as large as the uncertainties the errors are."""
    return _rms(error) / _rms(uncertainty)


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
