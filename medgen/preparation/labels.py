"""Labels and masks as they ride along: whole numbers, and few of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.problems import Problem

MOST_LABELS = 512
LARGEST_LABEL = 32767


def label_problems(values: NDArray[Any]) -> list[Problem]:
    """Return what keeps a volume (X, Y, Z) from being labels."""
    advice = "--carry is for masks and labels; give an image by --moving"
    if values.dtype.kind == "f" and not (np.rint(values) == values).all():
        return [Problem("E_CARRY_NO_LABELS", "it holds numbers that are not whole", advice)]
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > LARGEST_LABEL:
        message = f"its values reach from {low:g} to {high:g}; labels go from 0 to {LARGEST_LABEL}"
        return [Problem("E_CARRY_NO_LABELS", message, advice)]
    count = len(np.unique(values))
    if count > MOST_LABELS:
        message = f"it holds {count} different values, as an image does"
        return [Problem("E_CARRY_NO_LABELS", message, advice)]
    return []
