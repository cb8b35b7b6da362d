"""Overlap of regions."""

from __future__ import annotations

import math

import numpy as np

from medgen.metrics.masked import Array, checked


def dice(first: Array, second: Array) -> float:
    """Return the Dice overlap 2|A and B| / (|A| + |B|) of two regions; NaN where both are empty."""
    a, b = np.asarray(first) > 0, np.asarray(second) > 0
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * int(np.count_nonzero(a & b)) / total if total else math.nan


def threshold_dice(prediction: Array, reference: Array, mask: Array, *, above: float) -> float:
    """Return the Dice overlap of the voxels of at least `above` in both volumes, in the mask.

    NaN where neither volume has such a voxel.
    """
    predicted, expected, inside = checked(prediction, reference, mask)
    return dice(predicted[inside] >= above, expected[inside] >= above)
