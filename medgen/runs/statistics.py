"""What was measured on a run's training cases and is kept in `RUN/model/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from medgen.data import Domain, Usual


@dataclass(frozen=True)
class Statistics:
    """What was measured on the training cases; no case id and no path."""

    cohort: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The range of each cohort-scaled column."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Cases and patients per split."""
    seen: frozenset[str] = frozenset()
    """SHA-256 of every source file that training, validation or calibration read."""
    kept: frozenset[str] = frozenset()
    """Those of them that calibration alone read: no weight was learned from or chosen by them."""
    dose_fractions: tuple[float, ...] = ()
    """Shares of the full dose in the training cases, where the table's `dose_fraction` says so."""
    domains: Mapping[str, Domain] = field(default_factory=dict)
    """How the training cases' images look, by the role that an unpaired answer belongs to."""
    usual: Mapping[str, Mapping[str, Usual]] = field(default_factory=dict)
    """By role and column: what is usual among the training cases; empty in older runs."""
    label_ml: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The least and the largest volume of each class in a training case, in millilitres."""
    decoded: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    """By the same role: the range that decodes answers of each percentile-scaled column."""

    @property
    def learned(self) -> frozenset[str]:
        """Return the SHA-256 of every source file that weights were learned from or chosen by."""
        return self.seen - self.kept

    def after(self, parent: Statistics) -> Statistics:
        """Return these of a training that starts from another run's weights."""
        seen = self.seen | parent.seen
        return replace(self, seen=seen, kept=seen - self.learned - parent.learned)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "cohort": {column: list(bounds) for column, bounds in self.cohort.items()},
            "counts": dict(self.counts),
            "seen": sorted(self.seen),
            "kept": sorted(self.kept),
            "dose_fractions": list(self.dose_fractions),
            "domains": {role: domain.as_json() for role, domain in self.domains.items()},
            "usual": {
                role: {column: usual.as_json() for column, usual in columns.items()}
                for role, columns in self.usual.items()
            },
            "label_ml": {name: list(bounds) for name, bounds in self.label_ml.items()},
            "decoded": {
                role: {column: list(bounds) for column, bounds in ranges.items()}
                for role, ranges in self.decoded.items()
            },
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Statistics:
        """Read what `as_json` wrote."""
        return cls(
            cohort=_ranges(value["cohort"]),
            counts={name: int(count) for name, count in value["counts"].items()},
            seen=frozenset(value["seen"]),
            kept=frozenset(value.get("kept", ())),
            dose_fractions=tuple(float(dose) for dose in value.get("dose_fractions", ())),
            domains={
                role: Domain.from_json(domain) for role, domain in value.get("domains", {}).items()
            },
            usual={
                role: {column: Usual.from_json(usual) for column, usual in columns.items()}
                for role, columns in value.get("usual", {}).items()
            },
            label_ml=_ranges(value.get("label_ml", {})),
            decoded={role: _ranges(ranges) for role, ranges in value.get("decoded", {}).items()},
        )


def _ranges(value: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Return low and high by column."""
    return {column: (float(low), float(high)) for column, (low, high) in value.items()}
