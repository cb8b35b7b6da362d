"""Sessions at the end of names: `p01_visit2` is p01's second visit, `lung_scan_002` a patient.

A name alone does not tell the two apart; the other names of the same data set do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from medgen.discovery.findings import Finding
from medgen.discovery.placement import (
    Placed,
    Placement,
    names_date,
    names_session,
    split_session,
)
from medgen.problems import Problem

_MANY = 12
"""More session folders with names of their own than this, and than patients, are patients."""

UNSURE = Problem(
    "E_SESSION_UNSURE",
    "names end like sessions of one patient, but no session's name comes back in another patient: "
    "each is taken for a patient of its own",
    "where they are one person, write one id for them in the patient column, or a split parts them",
)


def settle_sessions(placed: Placed, layouts: Collection[str]) -> None:
    """Split sessions off the patients' names in these layouts, where the data set shows that.

    Where it stays open whether names are of one patient, they are kept apart and E_SESSION_UNSURE
    says so.
    """
    scopes: dict[tuple[str, ...], list[Placement]] = defaultdict(list)
    for one in placed.placements:
        if one.layout in layouts:
            scopes[one.scope].append(one)
    settled: dict[int, Placement] = {}
    for placements in scopes.values():
        names = _by_patient(one.patient for one in placements)
        if are_sessions(names):
            for one in placements:
                patient, session = split_session(one.patient)
                settled[id(one)] = replace(one, patient=patient, session=session)
            continue
        several = {patient for patient, sessions in names.items() if len(sessions) > 1}
        unsure = [one for one in placements if split_session(one.patient)[0] in several]
        if unsure:
            paths = tuple(one.entry.path for one in unsure)
            placed.findings.append(Finding(UNSURE, paths, refused=False))
    placed.placements = [settled.get(id(one), one) for one in placed.placements]


def unsure_parents(places: Iterable[tuple[str, ...]]) -> frozenset[tuple[str, ...]]:
    """Return the folders whose inner folders are named like sessions, but may well be patients.

    `p01/visit1 p01/visit2 p02/visit1` are sessions; `lung/scan_001 ... lung/scan_100` with nothing
    like it beside are not.
    """
    beside: dict[tuple[str, ...], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for place in places:
        if len(place) > 1 and names_session(place[-1]):
            beside[place[:-2]][place[-2]].add(place[-1])
    return frozenset(
        (*above, parent)
        for above, names in beside.items()
        for parent, sessions in names.items()
        if len(sessions) > 1
        and (len(names) == 1 or len(_kinds(*names.values())) > max(_MANY, len(names)))
    )


def are_sessions(names: Mapping[str, Collection[str]]) -> bool:
    """Tell whether what stands behind the names of patients names their sessions.

    They do where several patients remain, have no more names between them than they are, and share
    some. Dates are one name: nobody is scanned on another patient's days. An empty name is none.
    """
    owners = [kinds for kinds in map(_kinds, names.values()) if kinds]
    different = _kinds(*names.values())
    return len(different) <= len(owners) and len(different) < sum(map(len, owners))


def _kinds(*sessions: Collection[str]) -> set[str]:
    found = {session.casefold() for several in sessions for session in several if session}
    return {"a date" if names_date(session) else session for session in found}


def _by_patient(names: Iterable[str]) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for name in names:
        patient, session = split_session(name)
        found[patient].add(session)
    return found
