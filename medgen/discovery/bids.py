"""The layout of BIDS: `sub-01[/ses-x]/anat/sub-01_ses-x_T1w.nii.gz`, with its derivatives.

Entities and suffixes as in the Brain Imaging Data Structure 1.10, https://bids-specification.readthedocs.io.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from medgen.discovery.columns import known_column, slug
from medgen.discovery.findings import Finding
from medgen.discovery.placement import Placed, Placement, site_of
from medgen.discovery.walking import Entry
from medgen.problems import Problem

LAYOUT = "BIDS"
_ENTITY = re.compile(r"([a-z]+)-([A-Za-z0-9+]+)")
_SUFFIX = re.compile(r"[A-Za-z0-9]+")
_COLUMNS = {"T1w": "t1", "T2w": "t2", "PDw": "pd", "FLAIR": "flair", "ct": "ct", "pet": "pet"}
_SERIES = (
    "bold sbref cbv dwi epi phasediff phase1 phase2 phase magnitude magnitude1 magnitude2 fieldmap "
    "asl m0scan"
)
_NAMING = ("acq", "rec", "part", "echo", "inv", "mt", "trc", "dir", "hemi", "res", "den", "space")
"""Entities that become part of a column's name where a data set has more than one value of them."""


@dataclass(frozen=True)
class Name:
    """A BIDS file name: its entities in order, and its suffix."""

    entities: Mapping[str, str]
    suffix: str

    def stem(self) -> str:
        """Return the name without its extension."""
        return "_".join([*(f"{key}-{value}" for key, value in self.entities.items()), self.suffix])


def parse(stem: str) -> Name | None:
    """Read the entities and the suffix of a file name; None where it is no BIDS name."""
    *pairs, suffix = stem.split("_")
    matches = [_ENTITY.fullmatch(pair) for pair in pairs]
    entities = {match[1]: match[2] for match in matches if match}
    whole = len(entities) == len(pairs) and _SUFFIX.fullmatch(suffix) is not None
    return Name(entities, suffix) if whole and next(iter(entities), "") == "sub" else None


def recognise(entries: Sequence[Entry]) -> tuple[Placed, list[Entry]]:
    """Place every file that has a BIDS name below its subject's folder; return the others too."""
    placed, others = Placed(), []
    named: list[tuple[Entry, Name]] = []
    for entry in entries:
        name = parse(entry.stem)
        subjects = [folder for folder in entry.folders if folder.startswith("sub-")]
        if name is None or not subjects:
            others.append(entry)
        elif not _agrees(name, entry.folders):
            placed.findings.append(Finding(_MISPLACED, files=(entry.path,)))
        else:
            named.append((entry, name))
    series = [entry for entry, name in named if name.suffix in _SERIES.split()]
    if series:
        files = tuple(entry.path for entry in series)
        placed.findings.append(Finding(_left_out(len(series)), files, refused=False))
    images = [(entry, name) for entry, name in named if name.suffix not in _SERIES.split()]
    constant = _constant(images)
    found = [_place(entry, name, constant[_group(entry, name)]) for entry, name in images]
    placed.placements = _runs(found)
    return placed, others


def _agrees(name: Name, folders: Sequence[str]) -> bool:
    """Tell whether the folders name the same subject and session as the file."""
    for key in ("sub", "ses"):
        above = [folder for folder in folders if folder.startswith(f"{key}-")]
        if above and above[-1] != f"{key}-{name.entities.get(key, '')}":
            return False
    return True


def _scope(entry: Entry) -> tuple[tuple[str, ...], bool]:
    """Return the folders of the data set, and whether the file is a derivative of it."""
    subject = next(i for i, folder in enumerate(entry.folders) if folder.startswith("sub-"))
    above = entry.folders[:subject]
    if "derivatives" in above:
        return above[: above.index("derivatives")], True
    return above, False


Group = tuple[tuple[str, ...], bool, str, str]


def _group(entry: Entry, name: Name) -> Group:
    scope, derived = _scope(entry)
    return scope, derived, name.suffix, name.entities.get("desc", "")


def _constant(named: Sequence[tuple[Entry, Name]]) -> Mapping[Group, frozenset[str]]:
    """Return, for each kind of file, the entities that are the same in all of its files."""
    values: dict[Group, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for entry, name in named:
        for key in _NAMING:
            values[_group(entry, name)][key].add(name.entities.get(key, ""))
    return {
        group: frozenset(key for key, found in keys.items() if len(found) == 1)
        for group, keys in values.items()
    }


def _place(entry: Entry, name: Name, constant: frozenset[str]) -> Placement:
    scope, _ = _scope(entry)
    entities = name.entities
    session = f"ses-{entities['ses']}" if "ses" in entities else ""
    return Placement(
        entry,
        LAYOUT,
        scope,
        f"sub-{entities['sub']}",
        _column(name, constant),
        session=session,
        site=site_of(scope),
    )


def _column(name: Name, constant: frozenset[str]) -> str:
    """Return the column: the suffix, what the entities add, and nothing that never varies."""
    entities = name.entities
    if name.suffix in ("mask", "dseg", "probseg"):
        what = [entities[key] for key in ("label", "desc") if key in entities]
        kind = {"mask": "mask", "dseg": "label", "probseg": "probability"}[name.suffix]
        words = "_".join([*what, kind])
        column = known_column(words) or slug(words)
    else:
        column = _COLUMNS.get(name.suffix) or known_column(name.suffix) or slug(name.suffix)
        if "ce" in entities:
            column = "t1ce" if column == "t1" else f"{column}_ce"
        if "desc" in entities:
            column = f"{column}_{entities['desc']}"
    varying = [key for key in _NAMING if key in entities and key not in constant]
    return slug("_".join([column, *(f"{key}_{entities[key]}" for key in varying)]))


def _runs(found: Sequence[Placement]) -> list[Placement]:
    """Give repeated runs of one image columns of their own; the first keeps the plain name."""
    cells: dict[tuple[object, ...], list[Placement]] = defaultdict(list)
    for one in found:
        name = parse(one.entry.stem)
        derived = "derivatives" in one.entry.folders
        rest = name and [pair for pair in name.entities.items() if pair[0] != "run"]
        cells[one.scope, one.patient, one.session, one.column, derived, str(rest)].append(one)
    placements = []
    for group in cells.values():
        first = min(map(_run, group))
        for one in group:
            again = slug(f"{one.column}_run_{_run(one)}")
            placements.append(one if _run(one) == first else replace(one, column=again))
    return placements


def _run(placement: Placement) -> int:
    name = parse(placement.entry.stem)
    run = name.entities.get("run", "0") if name else "0"
    return int(run) if run.isdecimal() and len(run) < 10 else 0


def _left_out(count: int) -> Problem:
    message = f"{count} time series, diffusion images and field maps were left out"
    return Problem("E_BIDS_SERIES", message, "split out the volume you need, and name its column")


_MISPLACED = Problem(
    "E_BIDS_NAME",
    "a file's name says another subject or session than its folder",
    "find out which is right, and rename the other",
)
