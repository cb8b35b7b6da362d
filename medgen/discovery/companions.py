"""Files that lie among one patient's DICOM: they are that patient's, whatever names say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import PurePosixPath

from medgen.discovery.columns import ordered
from medgen.discovery.findings import Finding
from medgen.discovery.headers import TreeSeries
from medgen.discovery.patients import Patient, full_id
from medgen.discovery.placement import Placement
from medgen.problems import Problem

_STRANGER = -1


def owners_of(
    files: Sequence[Placement],
    patients: Sequence[Patient],
    series: Sequence[TreeSeries],
    single: Set[int],
) -> dict[PurePosixPath, int]:
    """Return, by a file's path, the index of the DICOM patient whose it is.

    It is the one patient whose DICOM lies in the file's folder or below. `series` are all of the
    tree, volumes or not; `single` are the patients with one row, for nothing tells which row of
    several a file belongs to. Files that names tell to be of several patients or sessions are
    nobody's.
    """
    below = _patients_below(patients, series)
    groups: dict[tuple[tuple[str, ...], str, str], list[Placement]] = defaultdict(list)
    for one in files:
        groups[one.scope, one.site, one.patient].append(one)
    claims: dict[int, list[list[Placement]]] = defaultdict(list)
    for group in groups.values():
        found = {index for one in group for index in below.get(_folder(one), {_STRANGER})}
        if len({one.session for one in group}) == len(found) == 1 and found <= single:
            claims[found.pop()].append(group)
    return {
        one.entry.path: index
        for index, claimed in claims.items()
        if len(claimed) == 1
        for one in claimed[0]
    }


def join(file: Placement, to: Placement) -> Placement:
    """Return a file's placement in the row of a series."""
    return replace(file, scope=to.scope, patient=to.patient, session=to.session, site=to.site)


def joined(files: Sequence[Placement]) -> Finding:
    """Return what a scan says once of the files that were given to DICOM patients."""
    columns = ", ".join(ordered([one.column for one in files]))
    lie = "files lie" if len(files) > 1 else "file lies"
    message = (
        f"{len(files)} {lie} beside the DICOM of one patient alone and went into that patient's "
        f"row: {columns}"
    )
    advice = "see that they are of that patient and were drawn on these images"
    places = tuple(one.entry.path for one in files)
    return Finding(Problem("W_FILES_JOINED", message, advice), places, refused=False)


def _folder(file: Placement) -> PurePosixPath:
    """Return the folder that names a file's patient, or else the one that it lies in."""
    folders = file.entry.folders
    at = [number for number, name in enumerate(folders, 1) if name == file.patient]
    return PurePosixPath(*folders[: at[-1]] if at else folders)


def _patients_below(
    patients: Sequence[Patient], series: Sequence[TreeSeries]
) -> Mapping[PurePosixPath, set[int]]:
    """Return the patients with DICOM in each folder or below; strangers have no volume."""
    owner = {id(one): index for index, patient in enumerate(patients) for one in patient.series}
    spelled = {name: index for index, patient in enumerate(patients) for name in patient.spellings}
    below: dict[PurePosixPath, set[int]] = defaultdict(set)
    for one in series:
        index = owner.get(id(one), spelled.get(full_id(one), _STRANGER))
        index = _STRANGER if len(one.patients) > 1 else index
        for above in {folder for file in one.files for folder in file.parents}:
            below[above].add(index)
    return below
