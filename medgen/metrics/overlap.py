"""Overlap of regions."""

from __future__ import annotations

import math

import numpy as np

from medgen.metrics.masked import Array


def dice(first: Array, second: Array) -> float:
    """Return the Dice overlap 2|A and B| / (|A| + |B|) of two regions; NaN where both are empty."""
    a, b = np.asarray(first) > 0, np.asarray(second) > 0
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * int(np.count_nonzero(a & b)) / total if total else math.nan
