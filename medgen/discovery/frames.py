"""DICOM series side by side: frames of reference in a row, studies, and files among them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from medgen.discovery.columns import ordered
from medgen.discovery.findings import Finding
from medgen.discovery.grouping import Case
from medgen.problems import Problem


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


def check_studies(cases: Sequence[Case]) -> Iterator[Finding]:
    """Find patients whose columns never meet in one row, though one may be made of them."""
    rows: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if any(one.series for one in case.cells.values()):
            rows[case.patient].append(case)
    apart = [
        theirs
        for theirs in rows.values()
        if any(not set(a.cells) & set(b.cells) for i, a in enumerate(theirs) for b in theirs[:i])
    ]
    if apart:
        shown = ", ".join(case.case for case in apart[0])
        message = (
            f"of {len(apart)} patients columns lie in separate studies, each a row of its own "
            f"(such as {shown})"
        )
        advice = "to pair them, write their cells into one row, then medgen prepare"
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
