"""How one folder's names are to be read: by patient, by column, flat, or not at all."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from medgen.discovery.columns import known_column, slug, split_stem
from medgen.discovery.placement import without_split
from medgen.discovery.walking import Entry

Way = Literal["patient", "inner", "column", "flat", "unknown"]
"""In `patient` files are named by column, in `column` by case, in `flat` by both; `inner` is a
folder inside a patient's that holds one image."""

_FILLERS = "images volumes scans nifti nii files data"
_CASE_LIKE = re.compile(r"[a-z]*_?\d+")
_COLLECTION = frozenset(("a", "b", "image", "label", "mask"))


@dataclass(frozen=True)
class Folder:
    """One folder's entries; `place` are the folders down to it, less splits."""

    place: tuple[str, ...]
    split: str
    entries: tuple[Entry, ...]

    @property
    def name(self) -> str:
        """Return the folder's own name; empty for the scanned folder."""
        return self.place[-1] if self.place else ""

    def rest(self, entry: Entry) -> str:
        """Return an entry's stem less the patient's folder in front: `p01_t1` in p01 -> t1."""
        for folder in reversed(self.place):
            if entry.stem.lower().startswith(folder.lower()):
                rest = entry.stem[len(folder) :]
                if rest[:1] in ("_", "-", ".", " ") and rest.strip("_-. "):
                    return rest.strip("_-. ")
        return entry.stem


class Forest:
    """All folders that hold volumes, and what they show only together."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        groups: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
        for entry in entries:
            groups[entry.folders].append(entry)
        self.folders: list[Folder] = []
        for names, inside in sorted(groups.items()):
            place, split = without_split(names)
            self.folders.append(Folder(place, split, tuple(inside)))
        self.repeated = _repeated(self.folders)
        """Column names beyond the known ones, which several folders share."""
        self._beside: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for folder in self.folders:
            self._beside[folder.place[:-1]].add(folder.name)
        self._inner = _inner(self.folders)

    def way(self, folder: Folder) -> Way:
        """Decide how one folder's names are to be read."""
        named = {known_column(folder.rest(entry)) for entry in folder.entries} - {None}
        column = column_of_folder(folder)
        if column and len(folder.entries) == 1 and (column in named or folder.place in self._inner):
            return "inner"
        ids = flat_ids(folder)
        sisters = bool(folder.place) and len(self._beside[folder.place[:-1]]) > 1
        if named and (sisters or len(ids) < 2):
            return "patient"
        if column:
            return "column"
        if ids:
            return "patient" if sisters and len(ids) == 1 else "flat"
        shared = any(slug(folder.rest(entry)) in self.repeated for entry in folder.entries)
        return "patient" if shared and folder.place else "unknown"


def flat_ids(folder: Folder) -> frozenset[str]:
    """Return the ids that stand before a column in a folder's names, as in `p01_t1`."""
    rests = [folder.rest(entry) for entry in folder.entries]
    pairs = [split_stem(rest) for rest in rests if not known_column(rest)]
    return frozenset(pair[0] for pair in pairs if pair)


def column_of_folder(folder: Folder) -> str | None:
    """Return the column that a folder's name says its files fill."""
    name = folder.name.lower()
    words = [word for word in re.split(r"[_\-. ]+", name) if word not in _FILLERS.split()]
    return name if name in ("a", "b") else known_column("_".join(words) or name)


def _inner(folders: Sequence[Folder]) -> frozenset[tuple[str, ...]]:
    """Return the folders such as `p01/mr` that each hold their patient's one image."""
    groups: dict[tuple[str, ...], list[Folder]] = defaultdict(list)
    for folder in folders:
        is_column = folder.name.lower() not in _COLLECTION and column_of_folder(folder)
        if len(folder.place) > 1 and is_column:
            groups[folder.place[:-2]].append(folder)
    return frozenset(
        folder.place
        for group in groups.values()
        if len({folder.place[:-1] for folder in group}) > 1
        and all(len(folder.entries) == 1 for folder in group)
        for folder in group
    )


def _repeated(folders: Sequence[Folder]) -> frozenset[str]:
    """Return unknown names that many folders share, each holding few of them.

    Two folders with the same hundred names are collections, and `p01` or `0001` is a case's name.
    """
    owners: dict[str, set[str]] = defaultdict(set)
    most: dict[str, int] = defaultdict(int)
    for folder in folders:
        rests = [folder.rest(entry) for entry in folder.entries]
        unknown = {slug(rest) for rest in rests if not known_column(rest)}
        for name in unknown:
            owners[name].add(folder.name)
            most[name] = max(most[name], len(unknown))
    return frozenset(
        name
        for name, folders_of in owners.items()
        if len(folders_of) >= max(2, most[name]) and not _CASE_LIKE.fullmatch(name)
    )
