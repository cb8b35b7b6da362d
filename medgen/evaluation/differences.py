"""One score, case by case in two reports: how much, how sure, how often better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from medgen.evaluation.reading import Report
from medgen.evaluation.statistics import holm, interval, number
from medgen.metrics import Column, improvement


@dataclass(frozen=True)
class Difference:
    """One score over the paired cases; differences are second - first."""

    column: Column
    first_mean: float
    second_mean: float
    differences: tuple[float, ...]
    interval: tuple[float, float]
    p_value: float
    holm_p_value: float
    second_better: int
    second_worse: int
    equal: int

    @property
    def mean(self) -> float:
        """The mean difference over cases with finite scores in both; NaN where there is none."""
        return float(np.mean(self.differences)) if self.differences else math.nan

    @property
    def median(self) -> float:
        """The median difference."""
        return float(np.median(self.differences)) if self.differences else math.nan

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object; what does not exist is null."""
        return {
            "unit": self.column.unit,
            "better": self.column.better,
            "first_mean": number(self.first_mean),
            "second_mean": number(self.second_mean),
            "mean_difference": number(self.mean),
            "ci95": [number(end) for end in self.interval],
            "median_difference": number(self.median),
            "wilcoxon_p": number(self.p_value),
            "holm_p": number(self.holm_p_value),
            "pairs": len(self.differences),
            "second_better": self.second_better,
            "second_worse": self.second_worse,
            "equal": self.equal,
        }


def differences_between(one: Report, other: Report, pairs: Sequence[str]) -> tuple[Difference, ...]:
    """Compare every score that has a better side, over the cases in `pairs`.

    A single class is its own mean: its columns would only test everything twice.
    """
    profile = one.profile
    details = profile.overall if len(profile.classes) == 1 else profile.details
    columns = [column for column in details if column.better is not None]
    found = [_difference(column, one, other, pairs) for column in columns]
    adjusted = holm({each.column.name: each.p_value for each in found})
    return tuple(replace(each, holm_p_value=adjusted[each.column.name]) for each in found)


def _difference(column: Column, one: Report, other: Report, pairs: Sequence[str]) -> Difference:
    assert column.better is not None
    before = [one.cases[case].scores[column.name] for case in pairs]
    after = [other.cases[case].scores[column.name] for case in pairs]
    both = list(zip(before, after, strict=True))
    signs = [improvement(column.better, *values) for values in both]
    finite = [math.isfinite(x) and math.isfinite(y) for x, y in both]
    kept = [values for values, keep in zip(both, finite, strict=True) if keep]
    if column.better == "zero":  # what counts is the distance to zero
        kept = [(abs(x), abs(y)) for x, y in kept]
    patients = [one.cases[case].patient for case, keep in zip(pairs, finite, strict=True) if keep]
    differences = [y - x for x, y in kept]
    return Difference(
        column,
        first_mean=float(np.mean([x for x, _ in kept])) if kept else math.nan,
        second_mean=float(np.mean([y for _, y in kept])) if kept else math.nan,
        differences=tuple(differences),
        interval=interval(differences, patients),
        p_value=signed_rank(differences, patients),
        holm_p_value=math.nan,
        second_better=signs.count(1),
        second_worse=signs.count(-1),
        equal=sum(x == y for x, y in both),
    )


def signed_rank(differences: Sequence[float], patients: Sequence[str]) -> float:
    """Return Wilcoxon's two-sided p-value over the patients' mean differences.

    1 where no patient differs, NaN with fewer than two patients.
    """
    grouped: dict[str, list[float]] = {}
    for difference, patient in zip(differences, patients, strict=True):
        grouped.setdefault(patient, []).append(difference)
    means = [math.fsum(values) / len(values) for values in grouped.values()]
    if len(means) < 2:
        return math.nan
    if not any(means):
        return 1.0
    return float(wilcoxon(means, zero_method="wilcox", alternative="two-sided").pvalue)
