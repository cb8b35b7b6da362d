"""DICOM series side by side: frames of reference in a row, studies, and files among them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from medgen.discovery.columns import ordered
from medgen.discovery.findings import Finding
from medgen.discovery.grouping import Case
from medgen.problems import Problem

_SHOWN = 3


def other_frames(case: Case) -> dict[str, str]:
    """Return the columns in another frame of reference than the case's first image, and that one.

    A series without a frame of reference shares none.
    """
    series = {column: one.series for column, one in case.cells.items() if one.series}
    first, *others = ordered(list(series)) or [""]
    if not others:
        return {}
    frame = series[first].frame_of_reference
    return {
        column: first
        for column in others
        if not frame or series[column].frame_of_reference != frame
    }


def check_references(cases: Sequence[Case]) -> Iterator[Finding]:
    """Find, once for each column, the cases where it is in another frame of reference."""
    places: dict[tuple[str, str], list[PurePosixPath]] = defaultdict(list)
    for case in cases:
        for column, first in other_frames(case).items():
            places[column, first].append(case.cells[column].entry.path)
    for (column, first), files in places.items():
        both = sum({column, first} <= set(case.cells) for case in cases)
        message = (
            f"in {len(files)} of {both} cases it lies in another DICOM frame of reference than "
            f"column {first}"
        )
        advice = "run medgen prepare first: it registers the columns"
        problem = Problem("W_FRAMES_DIFFER", message, advice, column=column)
        yield Finding(problem, tuple(files), refused=False)


def check_studies(cases: Sequence[Case]) -> Iterator[Finding]:
    """Find patients with a row per study: some column is in several of their studies."""
    rows: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if any(one.series for one in case.cells.values()):
            rows[case.patient].append(case)
    apart = [theirs for theirs in rows.values() if len(theirs) > 1]
    if apart:
        shown = ", ".join(case.case for case in apart[0][:_SHOWN]) + ", ..." * (
            len(apart[0]) > _SHOWN
        )
        message = (
            f"{len(apart)} patient{'s have' if len(apart) > 1 else ' has'} a row for each study, "
            f"since several studies would fill one column (such as {shown})"
        )
        advice = "nothing for follow-ups; to pair columns of two studies, write their cells into "
        advice += "one row"
        yield Finding(Problem("W_STUDIES_APART", message, advice), refused=False)


def check_kinds(cases: Sequence[Case]) -> Iterator[Finding]:
    """Find trees of which some patients are named by files and others by DICOM headers."""
    kinds: dict[bool, set[str]] = {True: set(), False: set()}
    for case in cases:
        for one in case.cells.values():
            kinds[one.series is not None].add(case.patient)
    files, series = kinds[False] - kinds[True], kinds[True]
    if files and series:
        message = (
            f"{len(files)} patients were named by folders and files, {len(series)} by DICOM "
            "headers: some may be the same persons"
        )
        advice = "give the rows of one person one patient id, or training may leak; join rows by "
        advice += "hand where files belong to a series"
        yield Finding(Problem("W_TWO_NAMINGS", message, advice), refused=False)
