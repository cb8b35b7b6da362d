"""Errors of all cases' voxels in fixed histograms, so that memory does not grow with cases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medgen.evaluation.scoring import Triplet
from medgen.report.agreement import Agreement, ByValue

Floats = NDArray[np.float64]

HU_VALUES = np.linspace(-1040.0, 3000.0, 102)
HU_ERRORS = np.linspace(-1505.0, 1505.0, 302)
SHARE_VALUES = np.linspace(-10.0, 110.0, 121)
SHARE_ERRORS = np.linspace(-75.25, 75.25, 302)


class Pool:
    """Gather voxel errors; each case weighs the same, however large.

    Volumes in HU are binned as they are; others in percent of their reference's own range inside
    the mask, since arbitrary units differ from case to case. The outermost bins hold what lies
    beyond them.
    """

    def __init__(self, unit: str) -> None:
        self._physical = unit == "HU"
        self.unit = unit if self._physical else "% of range"
        self._values = HU_VALUES if self._physical else SHARE_VALUES
        self._errors = HU_ERRORS if self._physical else SHARE_ERRORS
        shape = (len(self._values) - 1, len(self._errors) - 1)
        self._density = np.zeros(shape)
        self._by_value = np.zeros((3, shape[0]))  # share, sum of |error|, sum of error
        self._biases: list[float] = []
        self._squares: list[float] = []
        self._centres: list[float] = []

    def __len__(self) -> int:
        return len(self._biases)

    def add(self, triplet: Triplet) -> None:
        """Take one case into account."""
        predicted = np.asarray(triplet.prediction[triplet.mask], np.float64)
        expected = np.asarray(triplet.reference[triplet.mask], np.float64)
        if not self._physical:
            low, high = float(expected.min()), float(expected.max())
            scale = 100.0 / (high - low) if high > low else 1.0
            predicted, expected = (predicted - low) * scale, (expected - low) * scale
        errors, middle = predicted - expected, (predicted + expected) / 2
        columns = len(self._errors) - 1
        cells = self._bin(middle, self._values) * columns + self._bin(errors, self._errors)
        counts = np.bincount(cells, minlength=self._density.size).reshape(self._density.shape)
        self._density += counts / errors.size
        bins = self._bin(expected, self._values)
        for row, weights in enumerate((None, np.abs(errors), errors)):
            sums = np.bincount(bins, weights=weights, minlength=self._by_value.shape[1])
            self._by_value[row] += sums / errors.size
        self._biases.append(float(errors.mean()))
        self._squares.append(float(np.square(errors).mean()))
        self._centres.append(float(middle.mean()))

    def agreement(self) -> Agreement:
        """Return the distribution of errors over values, its mean and its spread."""
        bias = float(np.mean(self._biases))
        sd = float(np.sqrt(max(0.0, float(np.mean(self._squares)) - bias**2)))
        density = self._density / max(len(self), 1)
        return Agreement(
            self._values, self._errors, density, bias, sd, self._centres, self._biases, self.unit
        )

    def by_value(self) -> ByValue:
        """Return the mean errors by the reference's value; NaN where it never occurs."""
        share, absolute, signed = self._by_value
        with np.errstate(invalid="ignore"):
            means = (absolute / share, signed / share)
        return ByValue(self._values, means[0], means[1], share / max(len(self), 1), self.unit)

    def limit(self, quantile: float = 0.99) -> float:
        """Return the absolute error below which that share of voxels lies (a bin's edge)."""
        edges = np.abs(self._errors)
        outer = np.maximum(edges[:-1], edges[1:])
        order = np.argsort(outer, kind="stable")
        cumulated = np.cumsum(self._density.sum(axis=0)[order])
        found = int(np.searchsorted(cumulated, quantile * cumulated[-1]))
        return float(outer[order[min(found, len(order) - 1)]])

    @staticmethod
    def _bin(values: Floats, edges: Floats) -> NDArray[np.intp]:
        """Return each value's bin of equally wide bins; the outermost take the rest."""
        width = (edges[-1] - edges[0]) / (len(edges) - 1)
        places = np.clip((values - edges[0]) / width, 0, len(edges) - 2)
        return np.asarray(places, dtype=np.intp)
