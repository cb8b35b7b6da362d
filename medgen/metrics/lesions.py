"""Which lesions were found: detection by connected components, whatever their size."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.metrics.masked import Array, Booleans

_NEIGHBOURS = np.ones((3, 3, 3), dtype=np.bool_)


class Detection(NamedTuple):
    """Counts of components: the reference's and those found, the predicted and the true ones."""

    reference: int
    found: int
    predicted: int
    true: int

    @property
    def recall(self) -> float:
        """The share of the reference's lesions that were found; NaN where it has none."""
        return self.found / self.reference if self.reference else math.nan

    @property
    def precision(self) -> float:
        """The share of predicted lesions that are true; NaN where none was predicted."""
        return self.true / self.predicted if self.predicted else math.nan

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 where one side is empty, NaN where both."""
        if not self.reference or not self.predicted:
            return 0.0 if self.reference or self.predicted else math.nan
        total = self.precision + self.recall
        return 2.0 * self.precision * self.recall / total if total else 0.0


def detect(prediction: Array, reference: Array) -> Detection:
    """Count lesions (X, Y, Z): components of voxels that touch by a face, an edge or a corner.

    A reference lesion is found when any of its voxels is predicted; a predicted lesion is true
    when any of its voxels lies in the reference. No lesion is too small to count.
    """
    predicted, expected = np.asarray(prediction) > 0, np.asarray(reference) > 0
    _, found = components(expected, predicted)
    _, true = components(predicted, expected)
    return Detection(len(found), int(found.sum()), len(true), int(true.sum()))


def components(region: Booleans, other: Booleans) -> tuple[NDArray[np.int64], Booleans]:
    """Return the voxels of each component of a region, and whether the other region touches it."""
    numbers, count = ndimage.label(region, structure=_NEIGHBOURS)
    sizes = np.bincount(numbers[region], minlength=count + 1)
    touched = np.zeros(count + 1, dtype=np.bool_)
    touched[numbers[region & other]] = True
    return sizes[1:], touched[1:]
