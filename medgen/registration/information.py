"""Mutual information of two sets of values, from their joint histogram."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Histogram = NDArray[np.float64]


def binned(values: NDArray[Any], bins: int) -> NDArray[np.intp]:
    """Return the bin (0 .. bins - 1) of each value between the 0.5th and 99.5th percentile.

    Values beyond them are clipped.
    """
    low, high = np.percentile(values, [0.5, 99.5])
    if not high > low:
        low, high = float(np.min(values)), float(np.max(values))
    scaled = (np.asarray(values, np.float64) - low) * (bins / max(high - low, 1e-12))
    return np.asarray(np.clip(scaled, 0, bins - 1), np.intp)


def joint_histogram(first: NDArray[Any], second: NDArray[Any], bins: int) -> Histogram:
    """Return the joint frequencies (bins, bins) of two equally long sets of bins, summing to 1."""
    counts = np.bincount(first * bins + second, minlength=bins * bins).astype(np.float64)
    return np.asarray(counts.reshape(bins, bins) / max(1.0, counts.sum()), np.float64)


def mutual_information(joint: Histogram) -> float:
    """Return H(F) + H(M) - H(F, M) in nats; 0 is independence."""
    marginals = _entropy(joint.sum(1)) + _entropy(joint.sum(0))
    return max(0.0, marginals - _entropy(joint))


def normalised_information(joint: Histogram) -> float:
    """Return (H(F) + H(M)) / H(F, M): 1 is independence, 2 identity (Studholme et al. 1999).

    It changes less than mutual information with how much of the background both images see.
    """
    together = _entropy(joint)
    return (_entropy(joint.sum(1)) + _entropy(joint.sum(0))) / together if together > 0 else 1.0


def _entropy(probabilities: Histogram) -> float:
    some = probabilities[probabilities > 0]
    return float(-(some * np.log(some)).sum())
