"""Which lesions were found, by their size: small ones are missed first, and invented first."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medgen.metrics.lesions import Detection, components
from medgen.metrics.masked import Array, Booleans

BOUNDS_ML = (0.014, 0.065, 0.52)
"""The volumes of spheres of 3, 5 and 10 mm. Three millimetres is the least diameter that criteria
of multiple sclerosis count (examined by Grahl et al., Mult Scler Relat Disord 29, 2019)."""

ROUNDING = 1e-6
"""By how little, relatively, a lesion may exceed a bound and still keep to it: affines are
rounded."""


@dataclass(frozen=True)
class SizeBin:
    """The lesions of one size: above `least_ml`, and up to `most_ml`.

    Reference lesions lie in the bin of their own volume and predicted ones in that of theirs, so
    that a lesion which was found too large counts in one bin for recall and in another for
    precision.
    """

    least_ml: float
    most_ml: float
    """Infinite in the last bin."""
    counts: Detection

    @property
    def name(self) -> str:
        """The bin in words."""
        if math.isinf(self.most_ml):
            return f"above {self.least_ml:g} ml" if self.least_ml else "any size"
        return (
            f"{self.least_ml:g} to {self.most_ml:g} ml"
            if self.least_ml
            else (f"up to {self.most_ml:g} ml")
        )

    @property
    def recall(self) -> float:
        """The share of the bin's reference lesions that were found; NaN where it has none."""
        return self.counts.recall

    @property
    def precision(self) -> float:
        """The share of the bin's predicted lesions that are true; NaN where it has none."""
        return self.counts.precision

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall.

        0 where either is 0. NaN where one is not defined and the other is not 0: lesions of this
        size may have been found as lesions of another, which is no failure.
        """
        known = [share for share in (self.recall, self.precision) if not math.isnan(share)]
        if any(share == 0.0 for share in known):
            return 0.0
        return 2.0 / sum(1.0 / share for share in known) if len(known) == 2 else math.nan


def detect_by_size(
    prediction: Array,
    reference: Array,
    spacing_mm: Sequence[float] | NDArray[np.float64],
    *,
    bounds_ml: Sequence[float] = BOUNDS_ML,
) -> tuple[SizeBin, ...]:
    """Count lesions (X, Y, Z) as `detect` does, in bins of their volume, the smallest first.

    `spacing_mm` are the voxels' edges and `bounds_ml` the volumes between the bins, of which there
    is one more. A lesion of just a bound belongs to the smaller bin.

    Raises:
        ValueError: the bounds are not positive and ascending.
    """
    ends = (0.0, *bounds_ml, math.inf)
    if any(high <= low for low, high in itertools.pairwise(ends)):
        raise ValueError("bounds_ml must be positive and ascending")
    predicted, expected = np.asarray(prediction) > 0, np.asarray(reference) > 0
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    sides = components(expected, predicted), components(predicted, expected)
    (lesions, found), (detections, true) = (
        _binned(sizes * voxel_ml, touched, bounds_ml) for sizes, touched in sides
    )
    counts = zip(lesions, found, detections, true, strict=True)
    return tuple(
        SizeBin(low, high, Detection(*map(int, each)))
        for (low, high), each in zip(itertools.pairwise(ends), counts, strict=True)
    )


def pooled(cases: Iterable[Sequence[SizeBin]]) -> tuple[SizeBin, ...]:
    """Return the bins of many cases as one, by adding their counts: every lesion weighs the same.

    Raises:
        ValueError: the cases were not counted in the same bins.
    """
    total: tuple[SizeBin, ...] = ()
    for case in cases:
        if not total:
            total = tuple(case)
            continue
        if [(b.least_ml, b.most_ml) for b in case] != [(b.least_ml, b.most_ml) for b in total]:
            raise ValueError("cases were counted in different bins")
        total = tuple(
            SizeBin(
                one.least_ml,
                one.most_ml,
                Detection(*(a + b for a, b in zip(one.counts, other.counts, strict=True))),
            )
            for one, other in zip(total, case, strict=True)
        )
    return total


def _binned(
    volumes_ml: NDArray[np.floating], touched: Booleans, bounds_ml: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many lesions lie in each bin, and how many of those are touched."""
    limits = np.asarray(bounds_ml, dtype=np.float64) * (1.0 + ROUNDING)
    which = np.searchsorted(limits, volumes_ml, side="left")
    count = len(limits) + 1
    return np.bincount(which, minlength=count), np.bincount(which[touched], minlength=count)
