"""What is usual among a run's training cases: ranges, means, and how far one case lies off others.

It names nobody: of a figure the least, the mean and the largest stay, and one distance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.data.domain import Domain, alike, fit_domain
from medgen.data.look import Look

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """A vector of figures over the training cases."""

    low: tuple[float, ...]
    mean: tuple[float, ...]
    high: tuple[float, ...]
    farthest: float
    """The largest distance of one case from the mean of all others; 0 of a single case."""

    def distance_to(self, values: Sequence[float]) -> float:
        """Return the mean absolute difference of a case's figures from the mean."""
        return float(np.abs(np.asarray(values) - np.asarray(self.mean)).mean())

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        ends = {"low": list(self.low), "mean": list(self.mean), "high": list(self.high)}
        return {**ends, "farthest": self.farthest}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Spread:
        """Read what `as_json` wrote."""
        low, mean, high = (tuple(float(v) for v in value[n]) for n in ("low", "mean", "high"))
        return cls(low, mean, high, float(value["farthest"]))


@dataclass(frozen=True)
class Usual:
    """The training cases' images of one column."""

    cases: int
    figures: Mapping[str, Spread]
    """As in `Look`, over the cases."""
    domain: Domain
    least_alike: float | None
    """The least correlation of one case's layers with the others'; None: not known."""
    units: tuple[str, ...]
    modalities: tuple[str, ...]
    """What DICOM headers said, where any did."""
    least_overlap: float | None = None
    """Of targets: the least Dice of their body outline and the source's; None: not known."""
    learned: float = 1.0
    """Of targets: the share of the body that the losses looked at, in the mean."""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "cases": self.cases,
            "figures": {name: spread.as_json() for name, spread in self.figures.items()},
            "domain": self.domain.as_json(),
            "least_alike": self.least_alike,
            "units": list(self.units),
            "modalities": list(self.modalities),
            "least_overlap": self.least_overlap,
            "learned": self.learned,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Usual:
        """Read what `as_json` wrote."""
        least, overlap = value["least_alike"], value["least_overlap"]
        return cls(
            cases=int(value["cases"]),
            figures={name: Spread.from_json(spread) for name, spread in value["figures"].items()},
            domain=Domain.from_json(value["domain"]),
            least_alike=None if least is None else float(least),
            units=tuple(str(unit) for unit in value["units"]),
            modalities=tuple(str(modality) for modality in value["modalities"]),
            least_overlap=None if overlap is None else float(overlap),
            learned=float(value["learned"]),
        )


def fit_usual(looks: Sequence[Look]) -> Usual:
    """Pool the looks of the training cases' images of one column, every case counting alike.

    Raises ValueError where there is none.
    """
    domain = fit_domain([look.face for look in looks])
    figures = {
        name: _spread(np.asarray([look.figures[name] for look in looks], dtype=np.float64))
        for name in looks[0].figures
    }
    layers = np.asarray([look.face.layers for look in looks])[:, : len(domain.layers)]
    modalities = {look.modality for look in looks} - {""}
    return Usual(
        cases=len(looks),
        figures=figures,
        domain=domain,
        least_alike=_least_alike(layers),
        units=tuple(sorted({look.unit for look in looks})),
        modalities=tuple(sorted(modalities)),
    )


def _spread(rows: Rows) -> Spread:
    gaps = [float(np.abs(row - others).mean()) for row, others in _left_out(rows)]
    return Spread(
        low=tuple(rows.min(axis=0).tolist()),
        mean=tuple(rows.mean(axis=0).tolist()),
        high=tuple(rows.max(axis=0).tolist()),
        farthest=max(gaps, default=0.0),
    )


def _least_alike(layers: Rows) -> float | None:
    found = [alike(row, others) for row, others in _left_out(layers)]
    known = [value for value in found if not math.isnan(value)]
    return min(known) if known else None


def _left_out(rows: Rows) -> list[tuple[Rows, Rows]]:
    """Return each row with the mean of all others; nothing where there are no others."""
    count = len(rows)
    if count == 1:
        return []
    total = rows.sum(axis=0)
    return [(row, (total - row) / (count - 1)) for row in rows]
