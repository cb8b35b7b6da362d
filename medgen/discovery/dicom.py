"""The layout of DICOM: patients, studies and series as headers name them; folders mean nothing."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from medgen.dicom.choice import MARK, Choice
from medgen.discovery.companions import join, joined, owners_of
from medgen.discovery.findings import Finding
from medgen.discovery.headers import Headers, OnHeader, TreeSeries, read_headers, series_below
from medgen.discovery.identities import Identity, Names
from medgen.discovery.patients import (
    Patient,
    check_dates,
    check_patients,
    numbered,
    patients_of,
    rows_of,
    study_of,
)
from medgen.discovery.placement import Placed, Placement, SeriesPlace
from medgen.discovery.sequences import (
    LOCALIZER,
    MAP,
    PROJECTION,
    SYNTHETIC,
    column_of,
    left_out,
)
from medgen.discovery.walking import Entry
from medgen.problems import Problem

LAYOUT = "DICOM"
_UID = re.compile(r"[0-9.]{1,64}")
_NO_IMAGES = "none is needed: only images of CT, MR and PET can be translated"
_BY_HAND = "write its folder into a cell of the table if it is to be used all the same"
_AS_FILES = "export its regions as NIfTI masks or labels if a table is to have them"
_ADVICE: Mapping[str, str] = {
    **dict.fromkeys((LOCALIZER, SYNTHETIC, MAP, PROJECTION), _BY_HAND),
    **dict.fromkeys(("structure set", "segmentation", "surface segmentation"), _AS_FILES),
}
"""What may be done about objects that are no volumes, by what they are."""
_PLURALS = {"dose": "doses", "spectroscopy": "spectroscopies"}


@dataclass
class DicomTree:
    """What the DICOM files of a tree are."""

    placed: Placed = field(default_factory=Placed)
    series: int = 0
    """How many series of images there are, proposed or not."""
    left_out: dict[str, int] = field(default_factory=dict)
    """How many localizers, reports, structure sets, ... were not proposed."""
    joined: frozenset[PurePosixPath] = frozenset()
    """The files that are no DICOM and joined a DICOM patient's row; `placed` holds them too."""


def recognise(
    root: Path,
    files: Sequence[PurePosixPath],
    names: Names,
    *,
    beside: Sequence[Placement] = (),
    on_header: OnHeader = lambda done, total: None,
) -> DicomTree:
    """Place every series of images in a row and a column; tell of everything else.

    `beside` are the files that are no DICOM. Those among one patient's DICOM join that patient's
    row; no number may equal the name of another file's patient.
    """
    headers = read_headers(root, files, on_header=on_header)
    tree = DicomTree(series=len(headers.series))
    findings = tree.placed.findings
    findings += _unread(headers)
    wanted = _wanted(headers, tree)
    patients = patients_of(wanted, keyed=names.keyed)
    rows = [rows_of(patient.series, lambda one: column_of(one.head)) for patient in patients]
    single = {index for index, theirs in enumerate(rows) if len(theirs) == 1}
    owners = owners_of(beside, patients, headers.series, single)
    ids = [patient.name for patient in patients]
    if not names.keyed:
        taken = [one.patient for one in beside if one.entry.path not in owners]
        ids = numbered(len(patients), taken)
    theirs: dict[int, list[Placement]] = defaultdict(list)
    for file in beside:
        if file.entry.path in owners:
            theirs[owners[file.entry.path]].append(file)
    below = series_below(headers.series)
    for index, name in enumerate(ids):
        several = len(rows[index]) > 1
        for number, row in enumerate(rows[index], 1):
            session = study_of(row[0]) if names.keyed else str(number) * several
            placed = [_place(one, name, session, below) for one in row]
            tree.placed.placements += _with_files(placed, theirs[index])
    tree.joined = frozenset(owners)
    if owners:
        findings.append(joined([file for inside in theirs.values() for file in inside]))
    findings += _odd(patients, rows, [names.patient(Identity(name)) or "" for name in ids])
    if patients and not names.keyed:
        findings.append(Finding(_numbers(len(patients)), refused=False))
    return tree


def _odd(
    patients: Sequence[Patient], rows: Sequence[list[list[TreeSeries]]], shown: Sequence[str]
) -> list[Finding]:
    """Return what speaks against the patients, or against the rows, by the ids in the table."""
    of_rows = [name for name, several in zip(shown, rows, strict=True) for _ in several]
    every = [row for several in rows for row in several]
    return [*check_patients(patients, shown), *check_dates(every, of_rows)]


def _unread(headers: Headers) -> list[Finding]:
    """Return one finding for each reason and folder."""
    found = []
    for problem, files in headers.unread.items():
        folders: dict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
        for file in files:
            folders[file.parent].append(file)
        for inside in folders.values():
            count = f"{len(inside)} DICOM files: " if len(inside) > 1 else "a DICOM file: "
            told = Problem(problem.code, count + problem.message, problem.advice)
            found.append(Finding(told, tuple(inside)))
    return found


def _wanted(headers: Headers, tree: DicomTree) -> list[TreeSeries]:
    """Return the series that may be volumes; count and tell the others."""
    wanted = []
    others: dict[str, list[PurePosixPath]] = defaultdict(list)
    for one in headers.series:
        kind = left_out(one)
        if kind is not None:
            others[kind].append(one.folder)
        elif len(one.patients) > 1:
            message = f"the files of one series name {len(one.patients)} patients"
            problem = Problem("E_PATIENT_MIXED", message, "export the series again, whole")
            tree.placed.findings.append(Finding(problem, (one.folder,)))
        else:
            wanted.append(one)
    for kind, files in headers.objects.items():
        others[kind] += files
    for kind, places in sorted(others.items()):
        tree.left_out[kind] = len(places)
        message = f"left out: {len(places)} {_plural(kind) if len(places) > 1 else kind}"
        problem = Problem("W_NO_VOLUME", message, _ADVICE.get(kind, _NO_IMAGES))
        where = tuple(dict.fromkeys(places))
        tree.placed.findings.append(Finding(problem, where, refused=False))
    return wanted


def _place(
    series: TreeSeries, patient: str, session: str, below: Counter[PurePosixPath]
) -> Placement:
    head = series.head
    path = series.folder
    if below[path] > 1:
        choice = Choice(series=_selector(series))
        path = path / f"{MARK}{choice}" if choice.series else path
    derived = "DERIVED" in head.image_type
    number = head.number if head.number is not None else 1 << 31
    voxel = head.voxel_mm3 or float("inf")
    rank = (float(derived), voxel, -float(series.slices), float(number))
    return Placement(
        Entry(path, "", len(series.files)),
        LAYOUT,
        (),
        patient,
        column_of(head),
        session=session,
        series=SeriesPlace(head.frame_of_reference, rank),
    )


def _with_files(series: Sequence[Placement], files: Sequence[Placement]) -> list[Placement]:
    """Return a row of series and of files among them, in the split that the files' folders name."""
    splits = {one.split for one in files}
    split = splits.pop() if len(splits) == 1 else ""
    row = [*series, *(join(one, series[0]) for one in files)]
    return [replace(one, split=split) for one in row]


def _selector(series: TreeSeries) -> str:
    """Return the series' UID, or its number where the UID is none; a path may hold nothing else."""
    if _UID.fullmatch(series.head.series):
        return series.head.series
    number = series.head.number
    return "" if number is None or number < 0 else str(number)


def _numbers(count: int) -> Problem:
    message = f"{count} DICOM patients were numbered; the numbers belong to this scan only"
    return Problem("W_NUMBERED", message, "give --key FILE for ids that stay the same")


def _plural(kind: str) -> str:
    return _PLURALS.get(kind, kind if kind.endswith("series") else f"{kind}s")
