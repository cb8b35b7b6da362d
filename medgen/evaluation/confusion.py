"""Which class is taken for which: shares of voxels, mean over the cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.evaluation.scoring import Triplet
from medgen.metrics import class_codes

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Confusion:
    """Shares in percent, NaN where no case has the class.

    `taken` (classes, background + classes + unknown): of each reference class, what it was
    predicted as. `invented` (classes + unknown): of each predicted class, what is background.
    """

    taken: Floats
    invented: Floats


class Confusions:
    """Gather which class was predicted where; a case weighs the same in each class that it has."""

    def __init__(self, classes: Mapping[str, int]) -> None:
        self._values = list(classes.values())
        self._size = len(self._values) + 2  # with the background and what is unknown
        self._taken = np.zeros((self._size, self._size))
        self._from_background = np.zeros(self._size)
        self._having = np.zeros((2, self._size))
        self._cases = 0

    def __len__(self) -> int:
        return self._cases

    def add(self, triplet: Triplet) -> None:
        """Take one case into account."""
        expected, predicted = self.codes(triplet.reference), self.codes(triplet.prediction)
        counts = np.zeros(self._size**2, dtype=np.intp)
        for parts in zip(expected, predicted, triplet.mask, strict=True):  # slabs: pairs are wide
            first, second = (part[parts[2]].astype(np.intp) for part in parts[:2])
            counts += np.bincount(first * self._size + second, minlength=self._size**2)
        table = counts.reshape(self._size, self._size).astype(np.float64)
        for side, totals in enumerate((table.sum(axis=1), table.sum(axis=0))):
            self._having[side] += totals > 0
        self._taken += table / np.maximum(table.sum(axis=1, keepdims=True), 1.0)
        self._from_background += table[0] / np.maximum(table.sum(axis=0), 1.0)
        self._cases += 1

    def codes(self, labels: NDArray[Any]) -> NDArray[np.uint16]:
        """Return 0 for the background, 1 to K for the classes in order, K + 1 for the rest."""
        return class_codes(labels, self._values)

    def confusion(self) -> Confusion:
        """Return the shares over the cases that have the class."""
        with np.errstate(invalid="ignore"):
            taken = 100.0 * self._taken / self._having[0][:, None]
            invented = 100.0 * self._from_background / self._having[1]
        return Confusion(taken[1:-1], invented[1:])
