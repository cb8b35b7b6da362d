"""Whether a case's answer may be believed: what was checked, and what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["pass", "warn", "fail"]

SEVERITY: tuple[Verdict, ...] = ("pass", "warn", "fail")
"""From best to worst."""


@dataclass(frozen=True)
class Finding:
    """One check that was not passed."""

    check: str
    """The check's name, one word or snake_case."""
    verdict: Verdict
    reason: str
    """One sentence with the figures; it names no patient, no path."""


@dataclass(frozen=True)
class Trust:
    """All that was found of one case."""

    findings: tuple[Finding, ...] = ()
    measures: Mapping[str, float | None] = field(default_factory=dict)
    """Every figure that was measured, None for what cannot be known."""

    @property
    def verdict(self) -> Verdict:
        """Return the worst of the findings."""
        return max((found.verdict for found in self.findings), key=SEVERITY.index, default="pass")

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return the findings' sentences, the worst first."""
        worst_first = sorted(self.findings, key=lambda found: -SEVERITY.index(found.verdict))
        return tuple(found.reason for found in worst_first)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "verdict": self.verdict,
            "findings": [vars(found) for found in self.findings],
            "measures": dict(self.measures),
        }
