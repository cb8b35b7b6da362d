"""The classes of two segmentation reports: those in common, or not to be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from medgen.evaluation.matching import listed
from medgen.evaluation.reading import Report
from medgen.metrics import Profile
from medgen.metrics.segmentation import of_classes
from medgen.problems import ConfigurationError, Problem


def with_common_classes(one: Report, other: Report) -> tuple[Report, Report, list[str]]:
    """Return both reports with the classes in common, and what is to be said of the others.

    A class is a label value. Where one report has no name for it but a number (its predictions
    came without sidecars), the other's name serves for both. Where a report has classes that the
    other's references lack, the class means are taken anew over those in common. Reports of
    images return as they are.

    Raises:
        ConfigurationError: E_CLASS_MISMATCH where a name has two values or a value two names,
            where no class is in common, or where label values of the references were merged
            differently.
    """
    first, second = one.profile.classes, other.profile.classes
    _refuse_merges(one, other)
    _refuse_contradictions(first, second)
    if first == second:
        return one, other, []
    names = {value: name for name, value in first.items() if value in second.values()}
    better = {value: name for name, value in second.items() if not _numbered(name, value)}
    if not names:
        raise _mismatch("no class is in both", first.items(), second.items())
    names |= {value: better[value] for value in names if value in better}
    profile = one.profile.for_labels({name: value for value, name in names.items()})
    whole = len(names) == len(first) == len(second)
    warnings = [
        f"only the {which} report's references hold {listed(alone)}: left out, and the class means "
        "are taken over the classes in common, without any voxel of another label value"
        for which, mine in (("first", first), ("second", second))
        if (alone := [f"{n}={v}" for n, v in mine.items() if v not in names])
    ]
    return _with(one, profile, whole=whole), _with(other, profile, whole=whole), warnings


def _refuse_merges(one: Report, other: Report) -> None:
    """Refuse reports whose sidecars made one label value of the references into two."""
    values = {*one.merged, *other.merged}
    if one.held is not None and other.held is not None:
        values &= one.held & other.held
    pairs = {v: (one.merged.get(v, v), other.merged.get(v, v)) for v in sorted(values)}
    odd = [
        f"{v} as {a or 'background'} and as {b or 'background'}"
        for v, (a, b) in pairs.items()
        if a != b
    ]
    if odd:
        message = "the predictions' sidecars change the references differently: they count "
        advice = "evaluate both with sidecars whose `labels` merge the same values"
        raise ConfigurationError(Problem("E_CLASS_MISMATCH", message + listed(odd), advice))


def _refuse_contradictions(first: Mapping[str, int], second: Mapping[str, int]) -> None:
    """Refuse names with two values, and values with two names."""
    odd = [
        [(n, v) for n, v in mine.items() if _contradicted(n, v, others)]
        for mine, others in ((first, second), (second, first))
    ]
    if any(odd):
        raise _mismatch("the reports differ in classes", *odd)


def _contradicted(name: str, value: int, others: Mapping[str, int]) -> bool:
    if others.get(name, value) != value:
        return True
    named = [n for n, v in others.items() if v == value and n != name and not _numbered(n, v)]
    return bool(named) and not _numbered(name, value)


def _mismatch(
    words: str, first: Iterable[tuple[str, int]], second: Iterable[tuple[str, int]]
) -> ConfigurationError:
    sides = [listed([f"{name}={value}" for name, value in side]) for side in (first, second)]
    message = f"{words}: {' against '.join(side or 'none' for side in sides)}"
    advice = "evaluate both against the same references, with the same names in the sidecars"
    return ConfigurationError(Problem("E_CLASS_MISMATCH", message, advice))


def _numbered(name: str, value: int) -> bool:
    return name == f"label_{value}"


def _with(report: Report, profile: Profile, *, whole: bool) -> Report:
    """Return a report with the classes of a profile, by value; means anew unless all are there."""
    own = {value: name for name, value in report.profile.classes.items()}
    pairs = {
        new.name: old.name
        for name, value in profile.classes.items()
        for new, old in zip(
            profile.of_class(name), report.profile.of_class(own[value]), strict=True
        )
    }
    cases = {}
    for case, entry in report.cases.items():
        scores = {new: entry.scores[old] for new, old in pairs.items()}
        kept = {column.name: entry.scores[column.name] for column in profile.overall}
        means = kept if whole else of_classes(scores, profile.classes)
        cases[case] = replace(entry, scores=means | scores)
    return replace(report, profile=profile, cases=cases)
