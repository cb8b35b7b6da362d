"""Layouts told by names alone: a folder per patient, a folder per column, flat names, SynthRAD.

Every folder that holds volumes is read by itself, so that several layouts may lie in one tree;
where its names do not tell, the other folders' repetition does. What neither tells is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set

from medgen.discovery.columns import known_column, slug, split_stem
from medgen.discovery.findings import Finding
from medgen.discovery.placement import (
    Placed,
    Placement,
    names_session,
    site_of,
)
from medgen.discovery.sessions import UNSURE, settle_sessions, unsure_parents
from medgen.discovery.walking import Entry
from medgen.discovery.ways import Folder, Forest, Way, column_of_folder, flat_ids
from medgen.problems import Problem

PER_PATIENT = "a folder per patient"
PER_COLUMN = "a folder per column"
FLAT = "flat names"
SYNTHRAD = "SynthRAD"
LONE_PATIENT = ""
"""Stands for the patient whose volumes lie in the scanned folder itself."""

_BETWEEN = (
    "anat anatomy anatomical mri nifti nii raw scans volumes images data processed preprocessed "
    "native registered"
)
"""Folders between a patient and the volumes that say nothing about either."""
_SYNTHRAD_ID = re.compile(r"[12](?:B|P|AB|HN|TH)([A-E])\d{3}")


def recognise(entries: Sequence[Entry]) -> Placed:
    """Place what names tell, and refuse the rest with E_LAYOUT or E_COLUMN."""
    forest = Forest(entries)
    ways = [(folder, forest.way(folder)) for folder in forest.folders]
    patients = {_of_patient(folder, way) for folder, way in ways if way in ("patient", "inner")}
    sessions = _sessions(patients)
    placed = Placed()
    for folder, way in ways:
        if way == "column":
            _by_column(folder, placed)
        elif way == "flat":
            _by_flat_names(folder, placed)
        elif way == "unknown":
            _refuse(folder, folder.entries, placed)
        else:
            _by_patient(folder, way, sessions, forest.repeated, placed)
    settle_sessions(placed, (FLAT, PER_COLUMN))
    unsure = unsure_parents(patients - sessions)
    open_ones = {place for place in patients - sessions if place[:-1] in unsure}
    paths = [e.path for f, way in ways if _of_patient(f, way) in open_ones for e in f.entries]
    if paths:
        placed.findings.append(Finding(UNSURE, tuple(paths), refused=False))
    return placed


def _of_patient(folder: Folder, way: Way) -> tuple[str, ...]:
    """Return the folders down to the patient or session, less what lies between."""
    place = folder.place[:-1] if way == "inner" else folder.place
    while len(place) > 1 and place[-1].lower() in _BETWEEN.split():
        place = place[:-1]
    return place


def _sessions(places: Set[tuple[str, ...]]) -> frozenset[tuple[str, ...]]:
    """Return the folders that are a patient's session, by repetition or by their names."""
    repeated, unsure = _session_parents(places), unsure_parents(places)
    return frozenset(
        place
        for place in places
        if len(place) > 1
        and (place[:-2] in repeated or (names_session(place[-1]) and place[:-1] not in unsure))
    )


def _session_parents(places: Iterable[tuple[str, ...]]) -> frozenset[tuple[str, ...]]:
    """Return the folders above patients' parents in which the inner folders are sessions.

    Sessions have the same few names in many patients (`p01/a p01/b p02/a p02/b`); sites have many
    patients, most under their own names.
    """
    names: dict[tuple[str, ...], tuple[set[str], list[str]]] = {}
    for place in places:
        if len(place) > 1 and not site_of(place[-2:-1]):
            parents, inner = names.setdefault(place[:-2], (set(), []))
            parents.add(place[-2])
            inner.append(place[-1])
    return frozenset(
        above
        for above, (parents, inner) in names.items()
        if len(parents) > 1 and len(set(inner)) <= len(parents) and len(inner) > len(set(inner))
    )


def _by_patient(
    folder: Folder,
    way: Way,
    sessions: frozenset[tuple[str, ...]],
    repeated: frozenset[str],
    placed: Placed,
) -> None:
    """Place the files of a patient's (or session's) folder by their own names."""
    place = _of_patient(folder, way)
    session = ""
    if place in sessions:
        place, session = place[:-1], place[-1]
    patient = place[-1] if place else LONE_PATIENT
    center = _SYNTHRAD_ID.fullmatch(patient)
    unknown = []
    named = any(known_column(folder.rest(entry)) for entry in folder.entries)
    one_id = not named and len(flat_ids(folder)) == 1
    for entry in folder.entries:
        column = _column_in(folder, entry, way, repeated, one_id)
        if column is None:
            unknown.append(entry)
            continue
        placed.placements.append(
            Placement(
                entry,
                SYNTHRAD if center else PER_PATIENT,
                place[:-1],
                patient,
                column,
                session=session,
                split=folder.split,
                site=center[1] if center else site_of(place[:-1]),
            )
        )
    _refuse(folder, unknown, placed, of_patient=True)


def _column_in(
    folder: Folder, entry: Entry, way: Way, repeated: frozenset[str], one_id: bool
) -> str | None:
    """Return the column of a file in a patient's folder, or None where nothing tells it."""
    rest = folder.rest(entry)
    column = known_column(rest)
    if column is None and way == "inner":
        column = column_of_folder(folder)
    if column is None and one_id:
        pair = split_stem(rest)
        column = pair[1] if pair else None
    if column is None and slug(rest) in repeated:
        column = slug(rest)
    return column


def _by_column(folder: Folder, placed: Placed) -> None:
    """Place the files of a folder such as `mr` or `trainA`: each is another case."""
    column = column_of_folder(folder) or ""
    scope = folder.place[:-1]
    for entry in folder.entries:
        pair = split_stem(entry.stem)
        name = pair[0] if pair and pair[1] == column else entry.stem
        placed.placements.append(
            Placement(
                entry,
                PER_COLUMN,
                scope,
                name,
                column,
                split=folder.split,
                site=site_of(scope),
            )
        )


def _by_flat_names(folder: Folder, placed: Placed) -> None:
    """Place files such as `p01_t1`, several patients to a folder."""
    unknown = []
    for entry in folder.entries:
        pair = split_stem(entry.stem)
        if pair is None:
            unknown.append(entry)
            continue
        placed.placements.append(
            Placement(
                entry,
                FLAT,
                folder.place,
                pair[0],
                pair[1],
                split=folder.split,
                site=site_of(folder.place),
            )
        )
    _refuse(folder, unknown, placed)


def _refuse(
    folder: Folder, entries: Sequence[Entry], placed: Placed, *, of_patient: bool = False
) -> None:
    """Say of files what cannot be told from their names, and what to do."""
    files = tuple(entry.path for entry in entries)
    if not files:
        return
    count = f"{len(files)} volume{'s' if len(files) > 1 else ''}"
    if of_patient:
        message = f"{count} in one patient's folder: the name is no known column, nor in another's"
        advice = "name files by what they hold (mr, t1, ct, mask, ...) or add them to the table"
        placed.findings.append(Finding(Problem("E_COLUMN", message, advice), files))
        return
    message = f"{count} in one folder: the names tell no case and column"
    placed.findings.append(Finding(Problem("E_LAYOUT", message, BY_HAND), files))


BY_HAND = (
    "write the table by hand: a header `case,patient,mr,ct`, then a row per case with its id, its "
    "patient and its files, relative to the table"
)
