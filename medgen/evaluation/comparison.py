"""The verb compare: the same cases, scored twice; is the second better?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medgen.evaluation.anomaly_profile import NAME as ANOMALY
from medgen.evaluation.classes import with_common_classes
from medgen.evaluation.differences import Difference, differences_between
from medgen.evaluation.evaluation import refuse_existing
from medgen.evaluation.matching import listed
from medgen.evaluation.reading import Report, read_report
from medgen.evaluation.regions import common_regions
from medgen.evaluation.statistics import FEW_PATIENTS, LEVEL, RESAMPLES, SEED
from medgen.evaluation.summary import versions
from medgen.files import write_json, write_text
from medgen.metrics import Column
from medgen.problems import ConfigurationError, Problem
from medgen.report import render
from medgen.report.strips import Strip, paired

DRAWN = 30
"""Scores in the figure; those of many classes are in the table only."""
COMPARISON, PAGE = "comparison.json", "comparison.html"
CAUTION = (
    "Several scores are tested at once, and they depend on one another: name the score that "
    "decides before looking, or use the Holm-adjusted p-values. A small p-value is not a large "
    "difference, and better image scores are not better treatment."
)


@dataclass(frozen=True)
class Comparison:
    """What a comparison found, and what it wrote."""

    differences: tuple[Difference, ...]
    summary: dict[str, Any]
    page: Path


def compare(first: Path, second: Path, output: Path, *, overwrite: bool = False) -> Comparison:
    """Compare two evaluations case by case; write `comparison.json` and `comparison.html`.

    Cases that only one report scored, and cases that either model saw in training, are left out
    and listed. The interval resamples patients; Wilcoxon's signed-rank test runs over patients
    (the mean difference of each), since one patient's cases are not independent.

    Raises:
        ConfigurationError: E_REPORT, E_PROFILE_MISMATCH, E_CLASS_MISMATCH, E_NO_COMMON_CASE or
            E_EXISTS.
    """
    refuse_existing(output, (COMPARISON, PAGE), overwrite=overwrite)
    one, other = read_report(first, "first"), read_report(second, "second")
    if one.profile.name != other.profile.name:
        message = f"the reports are of two profiles, {one.profile.name} and {other.profile.name}"
        advice = "evaluate both with one --profile"
        raise ConfigurationError(Problem("E_PROFILE_MISMATCH", message, advice))
    one, other, left_out = with_common_classes(one, other)
    one, other, more = _with_common_regions(one, other)
    common = [case for case in one.cases if case in other.cases]
    seen = [
        case
        for case in common
        if one.cases[case].seen_in_training or other.cases[case].seen_in_training
    ]
    pairs = [case for case in common if case not in seen]
    if not pairs:
        message = f"no case is in both reports ({listed(one.cases)} against {listed(other.cases)})"
        if seen:
            message = "every case in both reports was seen in training by one of the models"
        raise ConfigurationError(
            Problem("E_NO_COMMON_CASE", message, "compare reports on the same held-out cases")
        )
    differences = differences_between(one, other, pairs)
    summary = _summary(one, other, pairs, seen, differences)
    summary["warnings"] = [*left_out, *more, *summary["warnings"]]
    write_json(output / COMPARISON, summary)
    write_text(output / PAGE, _page(differences, summary))
    return Comparison(differences, summary, output / PAGE)


def _with_common_regions(one: Report, other: Report) -> tuple[Report, Report, list[str]]:
    first, second, said = common_regions(one.profile, other.profile)
    return replace(one, profile=first), replace(other, profile=second), said


def _summary(
    one: Report,
    other: Report,
    pairs: Sequence[str],
    seen: Sequence[str],
    differences: Sequence[Difference],
) -> dict[str, Any]:
    patients = {one.cases[case].patient for case in pairs}
    return {
        "kind": "medgen comparison",
        "format": 1,
        "profile": one.profile.name,
        "first": {"name": one.name, "cases": len(one.cases), "medgen": one.version},
        "second": {"name": other.name, "cases": len(other.cases), "medgen": other.version},
        "cases": len(pairs),
        "patients": len(patients),
        "scores": {each.column.name: each.as_json() for each in differences},
        "only_in_first": [case for case in one.cases if case not in other.cases],
        "only_in_second": [case for case in other.cases if case not in one.cases],
        "left_out_as_seen_in_training": list(seen),
        "warnings": _warnings(one, other, pairs, len(patients)),
        "caution": CAUTION,
        "conventions": "Differences are second - first over cases whose scores are finite in both "
        "reports; a score that is best near zero is compared by its absolute value. p-values: "
        "Wilcoxon's signed-rank test, two-sided, over patients.",
        "bootstrap": {"resamples": RESAMPLES, "seed": SEED, "level": LEVEL, "unit": "patient"},
        "versions": versions(),
        "intended_use": "research use only; not a medical device",
    }


def _warnings(one: Report, other: Report, pairs: Sequence[str], patients: int) -> list[str]:
    """Return what makes the two reports less comparable than they look."""
    warnings = []
    for role in ("reference", "mask", "regions"):
        changed = [case for case in pairs if _differ(one, other, case, role)]
        if changed:
            warnings.append(
                f"the {role} files differ between the reports: {listed(changed)}; the scores "
                "do not measure the same thing unless only the files' packing differs"
            )
    if one.profile.name == ANOMALY:
        warnings.append(
            "the areas under curves over all cases, and the cases' scores, are not compared here, "
            "only what each case has of its own: read them side by side, with their intervals"
        )
    if one.profile.unit != other.profile.unit:
        warnings.append(
            f"the reports' units differ ({one.profile.unit}; {other.profile.unit}): only scores "
            "without that unit can be compared"
        )
    if one.mask != other.mask:
        warnings.append(f"the masks have two sources: {one.mask}; {other.mask}")
    moved = [case for case in pairs if one.cases[case].patient != other.cases[case].patient]
    if moved:
        warnings.append(
            f"the reports name other patients for: {listed(moved)}; the first report's are used"
        )
    if one.version != other.version:
        warnings.append(f"computed by two versions, {one.version} and {other.version}")
    if patients < FEW_PATIENTS:
        warnings.append(
            f"fewer than {FEW_PATIENTS} patients ({patients}): the interval is too narrow, and the "
            "test can hardly reach 0.05"
        )
    return warnings


def _differ(one: Report, other: Report, case: str, role: str) -> bool:
    hashes: list[Mapping[str, str]] = [one.cases[case].sha256, other.cases[case].sha256]
    return role in hashes[0] and role in hashes[1] and hashes[0][role] != hashes[1][role]


def _page(differences: Sequence[Difference], summary: Mapping[str, Any]) -> str:
    """Return the comparison as one self-contained page."""
    strips = [
        Strip(each.column.name, each.column.unit, each.differences, each.interval)
        for each in differences[:DRAWN]
    ]
    verdicts = {each.column.name: _direction(each.column) for each in differences}
    context = {
        "differences": differences,
        "summary": summary,
        "figure": paired(strips, verdicts),
        "drawn": DRAWN,
    }
    return render("comparison", context)


def _direction(column: Column) -> str:
    """Return the axis label of a score's differences."""
    unit = f" [{column.unit}]" if column.unit else ""
    side = "right" if column.better == "higher" else "left"
    size = "|second| − |first|" if column.better == "zero" else "second − first"
    return f"{size}{unit}; second is better to the {side}"
