"""What is measured on cases: plain numbers, no voxel, no path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medgen.problems import Problem

Three = tuple[float, float, float]
"""A value for each axis of the patient: right, anterior, superior."""


@dataclass(frozen=True)
class ColumnFacts:
    """One image, or label, of one case."""

    spacing_mm: Three
    field_mm: Three
    """The field of view."""
    voxels: int
    digest: str
    low: float
    """The least value."""
    dark: float
    """The 5th percentile of the whole field of view."""
    body: Three
    """The 0.5th, 50th and 99.5th percentile inside the reference's body; zeros for labels."""
    high: float
    """The largest value."""
    overlap: float | None = None
    """Dice overlap of the body outline with the reference's; None for the reference and labels."""
    apart_mm: float | None = None
    """Distance between the centres of the two outlines, in the common field of view."""


@dataclass(frozen=True)
class CaseFacts:
    """One case."""

    case: str
    patient: str
    split: str
    reference: str
    """The column that lays the working grid."""
    columns: Mapping[str, ColumnFacts]
    extent_mm: Three
    """What is left of the field of view when it is cropped as the configuration says."""
    correlations: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Between the values of two image columns inside the body."""
    class_mm3: Mapping[str, float] = field(default_factory=dict)
    """Volume of each named class; empty without a label."""


@dataclass(frozen=True)
class Survey:
    """All cases of a table that could be measured, and what was wrong with the others."""

    cases: Sequence[CaseFacts]
    refused: Sequence[Problem]
    split: Mapping[str, tuple[str, ...]]
    """Case ids by split, the refused ones too."""
    patients: Mapping[str, str]
    """The patient of every case, the refused ones too."""

    @property
    def training(self) -> tuple[CaseFacts, ...]:
        """Return the cases that anything may be fitted to."""
        return tuple(case for case in self.cases if case.split == "train")

    def median_extent_mm(self) -> Three:
        """Return the median cropped extent of the training cases."""
        return three(np.median([case.extent_mm for case in self.training], axis=0))


def three(values: Sequence[float] | NDArray[np.float64]) -> Three:
    """Return three plain floats."""
    x, y, z = (float(value) for value in values)
    return x, y, z
