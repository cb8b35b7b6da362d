"""Files in their cells become cases: one row per patient and session, each with a safe id."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from medgen.data.spelling import same_spelling
from medgen.discovery.findings import Finding
from medgen.discovery.folders import LONE_PATIENT
from medgen.discovery.identities import Identity, Names
from medgen.discovery.placement import Placement
from medgen.problems import Problem

_LONE_NAME = "case"


@dataclass
class Case:
    """One row to be: its id, its patient's, and a file for each column."""

    case: str
    patient: str
    site: str
    split: str
    spelled: tuple[str, str] = ("", "")
    """The site where it tells patients apart, and what other spellings of the name share."""
    cells: dict[str, Placement] = field(default_factory=dict)
    spares: dict[str, list[Placement]] = field(default_factory=dict)
    """What else could stand in a cell of a DICOM series, the best first."""


@dataclass
class Grouped:
    """The cases found, and what kept files out of them."""

    cases: list[Case] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class _Key:
    """What tells one case from another before it has an id."""

    scope: tuple[str, ...]
    split: str
    site: str
    patient: str
    session: str


def group(placements: Iterable[Placement], names: Names, *, root_name: str) -> Grouped:
    """Make cases of placed files, in the order of their ids.

    `root_name` is hashed for the patient whose files lie in the scanned folder itself; without a
    key that patient is called `case`.
    """
    files: dict[_Key, list[Placement]] = defaultdict(list)
    for one in placements:
        lone = root_name if names.keyed else _LONE_NAME
        patient = lone if one.patient == LONE_PATIENT else one.patient
        files[_Key(one.scope, one.split, one.site, patient, one.session)].append(one)
    grouped = Grouped()
    numbering = _sites(files)
    identities = _identities(list(files), numbering, always=names.keyed)
    ids = {key: names.case(identities[key]) for key in files}
    taken = _taken(ids)
    for key in sorted(files, key=lambda key: (ids[key] or "", str(key))):
        name, owner = ids[key], names.patient(identities[key])
        if name is None or owner is None:
            grouped.findings.append(_nameless(files[key]))
        elif len(taken[name.casefold()]) > 1:
            grouped.findings.append(_collides(name, files[key]))
        else:
            site = _telling_site(key, numbering)
            spelled = (site, same_spelling(key.patient))
            made = Case(name, owner, key.site, key.split, spelled)
            grouped.findings += _fill(made, files[key])
            if made.cells:
                grouped.cases.append(made)
    _join_spellings(grouped)
    return grouped


def _sites(keys: Iterable[_Key]) -> Mapping[str, set[str]]:
    """Return the sites that have a patient of each name."""
    sites: dict[str, set[str]] = defaultdict(set)
    for key in keys:
        sites[key.patient.casefold()].add(key.site)
    return sites


def _telling_site(key: _Key, sites: Mapping[str, set[str]]) -> str:
    return key.site if len(sites[key.patient.casefold()]) > 1 else ""


def _identities(
    keys: Sequence[_Key], sites: Mapping[str, set[str]], *, always: bool
) -> dict[_Key, Identity]:
    """Tell apart what needs it: sites that number alike, and folders with patients of one name.

    With `always`, every site is told, so that no id changes when another site joins.
    """
    scopes: dict[tuple[str, str, str], set[tuple[str, ...]]] = defaultdict(set)
    for key in keys:
        name = key.patient.casefold()
        scopes[name, key.site, key.session].add((*key.scope, key.split))
    found = {}
    for key in keys:
        name = key.patient.casefold()
        site = key.site if always else _telling_site(key, sites)
        several = len(scopes[name, key.site, key.session]) > 1
        folders = [part for part in (*key.scope, key.split) if part and part != site]
        qualifier = "_".join(folders) if several else ""
        found[key] = Identity(key.patient, key.session, site, qualifier)
    return found


def _taken(ids: Mapping[_Key, str | None]) -> Mapping[str, list[_Key]]:
    taken: dict[str, list[_Key]] = defaultdict(list)
    for key, case in ids.items():
        if case is not None:
            taken[case.casefold()].append(key)
    return taken


def _fill(case: Case, files: Sequence[Placement]) -> list[Finding]:
    """Fill the cells of a case; one that two files claim stays empty, two series are ranked.

    A file beside a series of its column stands behind it: it was mostly made from that series.
    """
    claims: dict[str, list[Placement]] = defaultdict(list)
    for one in files:
        claims[one.column].append(one)
    findings = []
    for column, claimants in sorted(claims.items()):
        ranked = sorted(claimants, key=_rank)
        if len(claimants) == 1 or ranked[0].series:
            case.cells[column], *spares = ranked
            if spares:
                case.spares[column] = spares
            continue
        message = f"{len(claimants)} files would fill this cell: it stays empty"
        advice = "keep one of them, or name the other differently (e.g. t1_repeat)"
        problem = Problem("E_AMBIGUOUS", message, advice, case.case, column)
        findings.append(Finding(problem, _paths(claimants)))
    return findings


def _rank(placement: Placement) -> tuple[float, ...]:
    return placement.series.rank if placement.series else (math.inf,)


def _join_spellings(grouped: Grouped) -> None:
    """Give one patient id to ids that differ in spelling only, and say so.

    Two rows of one patient in two splits would leak; two patients taken for one only stay together.
    """
    spelled: dict[tuple[str, str], dict[str, list[Case]]] = defaultdict(lambda: defaultdict(list))
    for case in grouped.cases:
        spelled[case.spelled][case.patient].append(case)
    for variants in spelled.values():
        if len(variants) < 2:
            continue
        first, *others = sorted(variants)
        for other in others:
            for case in variants[other]:
                message = f"{other} is spelled like {first}: taken for one patient"
                advice = "rename one, or edit the patient column where they are two persons"
                problem = Problem("E_PATIENT_SPELLING", message, advice, case.case)
                grouped.findings.append(Finding(problem, _paths(case.cells.values()), False))
                case.patient = first


def _nameless(files: Sequence[Placement]) -> Finding:
    message = "a case's name has no letter or digit of A-Z a-z 0-9 to make an id from"
    advice = "rename its folder or files, or give --key FILE for hashed ids"
    return Finding(Problem("E_CASE_ID", message, advice), _paths(files))


def _collides(case: str, files: Sequence[Placement]) -> Finding:
    message = "several cases would get this id: their names differ only in letter case or signs"
    advice = "rename the folders or files so that letters and digits tell them apart"
    return Finding(Problem("E_CASE_ID", message, advice, case), _paths(files))


def _paths(files: Iterable[Placement]) -> tuple[PurePosixPath, ...]:
    return tuple(one.entry.path for one in files)
