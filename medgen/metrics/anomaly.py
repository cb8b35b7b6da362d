"""How well numbers that should be large where something is wrong tell that from what is not.

The same definitions serve cases (a number each) and voxels (many millions): all of them follow from
how many positives and negatives reach each threshold, and only thresholds at a positive's own
number can change average precision or be the best for Dice. So negatives are counted, never joined
into one array with the positives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.problems import Problem, Refusal

Array = NDArray[Any]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """How many positives and negatives reach each of the positives' numbers, the highest first.

    All arrays are (K,) for K distinct numbers of positives.
    """

    thresholds: Array
    hits: Counts
    """Positives at or above the threshold."""
    alarms: Counts
    """Negatives at or above the threshold."""
    above: Counts
    """Negatives above the threshold: fewer than `alarms` where some are level with positives."""
    positives: int
    negatives: int

    @property
    def chance(self) -> float:
        """The share of positives, which is the average precision of numbers drawn at random."""
        total = self.positives + self.negatives
        return self.positives / total if total else math.nan

    @property
    def auroc(self) -> float:
        """The share of pairs in which the positive has the higher number; a tie counts half.

        NaN without positives or without negatives. It is the Mann-Whitney statistic over the number
        of pairs (Hanley and McNeil, Radiology 143:29, 1982).
        """
        if not (self.positives and self.negatives):
            return math.nan
        own = np.diff(self.hits, prepend=0).astype(np.float64)
        below = self.negatives - (self.alarms + self.above) / 2.0
        return float((own * below).sum()) / (float(self.positives) * self.negatives)

    @property
    def average_precision(self) -> float:
        """The mean over positives of the precision at their own number, ties as one step.

        The sum of (R_k - R_k-1) P_k over thresholds, without interpolation (Davis and Goadrich,
        ICML 2006, on why not), which is what the field reports as the area under the
        precision-recall curve. NaN without positives.
        """
        if not self.positives:
            return math.nan
        own = np.diff(self.hits, prepend=0) / self.positives
        return float((own * self.hits / (self.hits + self.alarms)).sum())

    @property
    def oracle_dice(self) -> tuple[float, float]:
        """The best Dice over all thresholds, and that threshold: "at or above" is positive.

        An ORACLE: it is chosen by looking at the answer, so that no use of the numbers reaches it
        but by luck. (NaN, NaN) without positives.
        """
        if not self.positives:
            return math.nan, math.nan
        found = 2.0 * self.hits / (self.hits + self.alarms + self.positives)
        best = int(np.argmax(found))
        return float(found[best]), float(self.thresholds[best])


def rank(positives: Array, negatives: Array | Sequence[Array]) -> Ranking:
    """Count how many numbers reach each distinct number of the positives (P,).

    `negatives` are one array or several, as of several cases; they are fastest sorted.

    Raises:
        Refusal: E_METRIC_NONFINITE where a number is NaN or infinite.
    """
    parts = [negatives] if isinstance(negatives, np.ndarray) else list(negatives)
    for part in (positives, *parts):
        _refuse_nonfinite(part)
    values, counts = np.unique(positives, return_counts=True)
    at_or_above = np.zeros(len(values), np.int64)
    above = np.zeros(len(values), np.int64)
    for part in parts:
        ordered = part if _is_sorted(part) else np.sort(part)
        at_or_above += len(ordered) - np.searchsorted(ordered, values, side="left")
        above += len(ordered) - np.searchsorted(ordered, values, side="right")
    return Ranking(
        values[::-1],
        np.cumsum(counts[::-1], dtype=np.int64),
        at_or_above[::-1],
        above[::-1],
        len(positives),
        sum(len(part) for part in parts),
    )


def rank_labelled(scores: Array, positive: Array) -> Ranking:
    """Return the ranking of scores (N,) of which those are positives where `positive` (N,) is."""
    values, chosen = np.asarray(scores), np.asarray(positive, dtype=np.bool_)
    return rank(values[chosen], values[~chosen])


def auroc(scores: Array, positive: Array) -> float:
    """Return the area under the ROC curve of scores (N,); see `Ranking.auroc`."""
    return rank_labelled(scores, positive).auroc


def average_precision(scores: Array, positive: Array) -> float:
    """Return the average precision of scores (N,); see `Ranking.average_precision`."""
    return rank_labelled(scores, positive).average_precision


def _refuse_nonfinite(values: Array) -> None:
    bad = int(values.size - np.count_nonzero(np.isfinite(values)))
    if bad:
        message = f"{bad} of {values.size} numbers to rank are NaN or infinite"
        advice = "find out where they come from; a voxel without a number cannot be ranked"
        raise Refusal(Problem("E_METRIC_NONFINITE", message, advice))


def _is_sorted(values: Array) -> bool:
    return bool(np.all(values[1:] >= values[:-1]))
