"""Whether a case's answer may be believed: what was checked, and what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
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

    def __add__(self, other: Trust) -> Trust:
        """Return what both found, each finding once; of a measure that both have, the other's."""
        findings = tuple(dict.fromkeys((*self.findings, *other.findings)))
        return Trust(findings, {**self.measures, **other.measures})

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values; measures in six digits."""
        measures = {
            name: None if value is None else float(f"{value:.6g}")
            for name, value in self.measures.items()
        }
        return {
            "verdict": self.verdict,
            "findings": [asdict(found) for found in self.findings],
            "measures": measures,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Trust:
        """Read what `as_json` wrote."""
        findings = tuple(
            Finding(str(found["check"]), found["verdict"], str(found["reason"]))
            for found in value["findings"]
        )
        return cls(findings, dict(value["measures"]))


@dataclass(frozen=True)
class Limits:
    """Where a measure, of which more is worse, becomes doubtful, and where it may not be used."""

    warn: float
    fail: float | None = None
    """None: by itself it never is."""

    def verdict(self, value: float) -> Verdict:
        """Return what a value beyond the limits comes to; NaN passes."""
        if self.fail is not None and value > self.fail:
            return "fail"
        return "warn" if value > self.warn else "pass"

    def beyond(self, verdict: Verdict) -> float:
        """Return the limit that a verdict other than `pass` went beyond."""
        return self.fail if verdict == "fail" and self.fail is not None else self.warn
