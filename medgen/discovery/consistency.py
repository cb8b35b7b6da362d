"""What one volume cannot tell: the same file twice, other frames, and outliers of the cohort."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from medgen.discovery.columns import kind_of, ordered
from medgen.discovery.examination import Facts
from medgen.discovery.findings import Finding
from medgen.discovery.frames import other_frames
from medgen.discovery.grouping import Case
from medgen.problems import Problem
from medgen.volumes import world_overlap

LEAST_OVERLAP = 0.5
"""Share of the smaller field of view; below it two columns are in other frames of reference."""

OUTLIER_FACTOR = 2.0
"""A spacing or an extent this many times the column's median, or less than one such part of it."""

FEW = 1 / 3
"""A column filled in at most this share of the cases is told."""

_EXACTLY = 1.001  # what spacings are rounded to
_LEAST_CASES = 4  # below, a median is nobody's
_OFTEN = 0.25  # of a column's cases: then the cohort varies, and nobody is an outlier
_AXES = ("left-right", "front-back", "head-foot")

Examined = Mapping[tuple[str, str], Facts]
"""The facts of each sound volume, by case and column."""


def drop_duplicates(cases: Sequence[Case], facts: Examined) -> list[Finding]:
    """Empty the cells that hold the same file as others, and say which; keep whole copies' first.

    Of a case that copies another one entirely only the copy goes. Masks and labels may be alike,
    and sessions of a patient may share an image: these are warnings.
    """
    places: dict[str, list[tuple[Case, str]]] = defaultdict(list)
    for case in cases:
        for column in case.cells:
            places[facts[case.case, column].digest].append((case, column))
    groups = [group for group in places.values() if len(group) > 1]
    copies = _copies(groups)
    findings = []
    removed = []
    for group in groups:
        for case, column in group:
            others = [(c, k) for c, k in group if (c.case, k) != (case.case, column)]
            original = copies.get(case.case)
            if original is None and all(copies.get(c.case) == case.case for c, _ in others):
                continue  # what others copy stays
            if _is_empty_label(column, facts[case.case, column]):
                continue
            if original is None and _harmless(case, column, others):
                if (case, column) == group[0]:  # one warning tells of all
                    findings.append(_duplicate(case, column, others, refused=False))
                continue
            findings.append(_duplicate(case, column, others, refused=True))
            removed.append((case, column))
    for case, column in removed:
        del case.cells[column]
    return findings


def check_frames(case: Case, facts: Examined) -> Iterator[Finding]:
    """Find columns that show another place than the case's first image.

    Columns in another DICOM frame of reference, and what was drawn on them, are told elsewhere.
    """
    first, *others = ordered(list(case.cells))
    apart = [facts[case.case, column].grid for column in other_frames(case)]
    for column in others:
        path = case.cells[column].entry.path
        grid = facts[case.case, column].grid
        if any(grid.same_as(other) for other in apart):
            continue
        share = world_overlap(facts[case.case, first].grid, grid)
        if share < LEAST_OVERLAP:
            message = f"its field of view shares only {share:.0%} with that of column {first}"
            advice = "register the columns first: medgen prepare"
            problem = Problem("E_OTHER_FRAME", message, advice, case.case, column)
            yield Finding(problem, (path,), refused=False)


def check_cohort(cases: Sequence[Case], facts: Examined) -> Iterator[Finding]:
    """Find sparse columns, labels without a voxel, and sizes or spacings far from the others'."""
    columns = ordered([column for case in cases for column in case.cells])
    counts = Counter(column for case in cases for column in case.cells)
    few = [column for column in columns if counts[column] <= len(cases) * FEW]
    if few:
        shown = ", ".join(f"{column} {counts[column]}" for column in few)
        message = f"few of the {len(cases)} cases have these columns: {shown}"
        advice = "a configuration that asks for one can use its cases alone"
        yield _warning(Problem("W_COLUMN_SPARSE", message, advice))
    for column in columns:
        filled = [case for case in cases if column in case.cells]
        empty = [c for c in filled if _is_empty_label(column, facts[c.case, column])]
        if empty:
            message = f"the label is empty in {len(empty)} of {len(filled)} cases"
            yield _warning(
                Problem("E_EMPTY_LABEL", message, "nothing, if these are healthy", column=column)
            )
        if len(filled) >= _LEAST_CASES:
            for what, unit, digits in (("spacing", "mm", 2), ("extent", "mm", 0)):
                yield from _outliers(column, filled, facts, what, unit, digits)


def same_grids(cases: Sequence[Case], facts: Examined) -> bool:
    """Tell whether the images of every case are on one grid, as registered images mostly are."""
    for case in cases:
        images = [column for column in case.cells if kind_of(column) == "image"]
        grids = [facts[case.case, column].grid for column in images]
        if any(not grids[0].same_as(grid) for grid in grids[1:]):
            return False
    return True


def drawn_on(cases: Sequence[Case], facts: Examined) -> dict[str, str]:
    """Return, for each label and mask, the one image column whose grid it has in every case."""
    fitting: dict[str, set[str]] = {}
    for case in cases:
        images = [column for column in case.cells if kind_of(column) == "image"]
        for column in case.cells:
            if kind_of(column) != "image":
                grid = facts[case.case, column].grid
                same = {image for image in images if grid.same_as(facts[case.case, image].grid)}
                fitting[column] = fitting.get(column, same) & same
    return {column: next(iter(images)) for column, images in fitting.items() if len(images) == 1}


def _copies(groups: Sequence[Sequence[tuple[Case, str]]]) -> dict[str, str]:
    """Return, for each case whose every cell is another case's, that first case's id."""
    shared: dict[tuple[str, str], set[str]] = defaultdict(set)
    cases = {}
    for group in groups:
        for first, first_column in group:
            for second, second_column in group:
                cases[second.case] = second
                if first.case < second.case and first_column == second_column:
                    shared[first.case, second.case].add(second_column)
    return {
        second: first
        for (first, second), columns in sorted(shared.items(), reverse=True)
        if columns == set(cases[second].cells)
    }


def _harmless(case: Case, column: str, others: Sequence[tuple[Case, str]]) -> bool:
    """Tell whether a file may well stand in these cells: one patient's sessions, or alike masks."""
    if any(other.case == case.case for other, _ in others):
        return False
    if kind_of(column) != "image":
        return True
    return all(other.patient == case.patient and key == column for other, key in others)


def _duplicate(
    case: Case, column: str, others: Sequence[tuple[Case, str]], *, refused: bool
) -> Finding:
    shown = ", ".join(
        f"column {key}" if other.case == case.case else f"case {other.case} column {key}"
        for other, key in others[:3]
    )
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    message = f"the same file as {shown}{more}"
    advice = "keep it where it belongs, and delete the copies"
    if not refused:
        one_patient = all(other.patient == case.patient for other, _ in others)
        advice = "if the cases are of one person, give them one patient id"
        advice = "nothing, if the patient's sessions share it" if one_patient else advice
    files = (case.cells[column].entry.path, *(c.cells[k].entry.path for c, k in others[:3]))
    return Finding(Problem("E_DUPLICATE", message, advice, case.case, column), files, refused)


def _is_empty_label(column: str, facts: Facts) -> bool:
    return kind_of(column) == "label" and facts.high == 0


def _outliers(
    column: str, filled: Sequence[Case], facts: Examined, what: str, unit: str, digits: int
) -> Iterator[Finding]:
    """Find the cases whose spacing or extent is far from the column's median along an axis."""

    def measured(case: Case) -> tuple[float, float, float]:
        found = facts[case.case, column]
        return found.spacing_mm if what == "spacing" else found.extent_mm

    middle = [median(measured(case)[axis] for case in filled) for axis in range(3)]
    odd: dict[str, str] = {}
    for case in filled:
        for axis, value in enumerate(measured(case)):
            ratio = value / middle[axis]
            if not 1 / OUTLIER_FACTOR <= ratio * _EXACTLY <= OUTLIER_FACTOR * _EXACTLY**2:
                numbers = f"{value:.{digits}f} {unit}, the median {middle[axis]:.{digits}f} {unit}"
                odd.setdefault(case.case, f"the {_AXES[axis]} {what} is {numbers}")
    if len(odd) > _OFTEN * len(filled):
        message = f"the {what} varies: {len(odd)} of {len(filled)} cases are far from the median"
        advice = "see that preprocessing.spacing_mm and the patch suit them all"
        yield _warning(Problem("E_OUTLIER", message, advice, column=column))
        return
    for name, message in odd.items():
        problem = Problem("E_OUTLIER", message, "look at it before it is used", name, column)
        yield _warning(problem)


def _warning(problem: Problem) -> Finding:
    return Finding(problem, refused=False)
