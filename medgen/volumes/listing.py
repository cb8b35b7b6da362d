"""Which files and DICOM series are volumes, and what they are called."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medgen.dicom import Choice, Index, IndexedSeries, index_tree, split_choice
from medgen.dicom.selection import none_of
from medgen.problems import NothingFound, Problem

_NO_CHOICE = Choice()
_SIDECAR_KEYS = {"weights_digest", "output_digest"}
_SIDECAR_BYTES = 1 << 20
SUFFIXES: tuple[str, ...] = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".nhdr")


@dataclass(frozen=True)
class Found:
    """A volume that may be opened, and a name for it that can stand in a report.

    A file is called what the user called it. A DICOM series is called by a hash of its
    SeriesInstanceUID, since hospital folders are called after patients; a series that medgen
    itself wrote keeps its folder's name, which is a case id.
    """

    path: Path
    name: str
    dicom: bool = False


def suffix_of(path: Path) -> str:
    """Return the volume suffix of a file name in lower case, or "" where it has none."""
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def volume_name(path: Path) -> str:
    """Return the file's name less its volume suffix (`a.b.nii.gz` -> `a.b`); a folder's name."""
    suffix = suffix_of(path)
    return path.name[: -len(suffix)] if suffix else path.name


def list_volumes(
    path: Path, choice: Choice = _NO_CHOICE, *, but_in: Path | None = None
) -> list[Found]:
    """List a file, or the volume files directly inside a folder and the DICOM series below it.

    The paths of DICOM series carry `choice`, or the one that `path` ends in; where it names a
    series and there is DICOM, that series alone is listed. DICOM below `but_in` is left out; if
    that is `path` itself, what medgen wrote there. Sorted by name, files first. Hidden files are
    skipped, and with them the temporary files of an interrupted write; so is a DICOM series that
    medgen wrote beside the same answer's volume file. A folder without volumes gives an empty list.
    Raises NothingFound E_MISSING_FILE or E_NO_SERIES, ConfigurationError E_CELL_SELECTOR.
    """
    path, own = split_choice(path)
    choice = own.over(choice)
    if path.is_dir():
        files = [Found(entry, volume_name(entry)) for entry in path.iterdir() if _is_volume(entry)]
        files.sort(key=lambda found: found.path.name)
        answers = {found.name for found in files}
        series = [
            one
            for one in _dicom_series(path, choice, but_in)
            if not _is_twin(one.path, path, answers)
        ]
        return series if series and choice.series else [*files, *series]
    if path.is_file():
        series = [] if suffix_of(path) else _dicom_series(path, choice, but_in)
        return series or [Found(path, volume_name(path))]
    raise NothingFound(
        Problem("E_MISSING_FILE", "there is no such file or folder", "check the spelling")
    )


def _is_volume(path: Path) -> bool:
    return not path.name.startswith(".") and bool(suffix_of(path)) and path.is_file()


def _is_twin(series: Path, folder: Path, answers: Container[str]) -> bool:
    """Tell whether a series in a folder is medgen's own second form of an answer beside it."""
    place, _ = split_choice(series)
    return place.parent == folder and place.name in answers and _is_own(place)


def _is_own(folder: Path) -> bool:
    """Tell whether a folder was written by medgen, whose sidecar lies beside it.

    Converters of others write sidecars too, beside folders that are called after patients. The
    folder NAME_KEY is described by the sidecar of NAME, which lists KEY `beside` its answer.
    """
    if not folder.is_dir():
        return False
    stem, _, key = folder.name.rpartition("_")
    listed = _sidecar(folder.with_name(f"{stem}.json")).get("beside") if stem else None
    beside = isinstance(listed, dict) and key in listed
    return beside or bool(_sidecar(folder.with_name(f"{folder.name}.json")))


def _sidecar(path: Path) -> dict[str, object]:
    """Return what a sidecar of medgen's says; nothing where it is none."""
    try:
        if path.stat().st_size > _SIDECAR_BYTES:
            return {}
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    own = isinstance(content, dict) and content.keys() >= _SIDECAR_KEYS
    return content if own else {}


def _dicom_series(path: Path, choice: Choice, but_in: Path | None) -> list[Found]:
    """Return the DICOM series at and below a path, and the folders whose files are unreadable."""
    wanted = choice.series
    index = index_tree(path)
    if but_in is not None:
        index = _less(index, path, but_in)
    if wanted and index.series and not any(_is_wanted(one, wanted) for one in index.series):
        raise NothingFound(none_of(index, choice))
    places = [_common(path, [one.path for one in series.instances]) for series in index.series]
    found = []
    for number, (series, place) in enumerate(zip(index.series, places, strict=True)):
        if wanted and not _is_wanted(series, wanted):
            continue
        others = [one for k, one in enumerate(index.series) if k != number]
        alone = not any(one.path.is_relative_to(place) for s in others for one in s.instances)
        named = "" if alone else (series.uid or str(series.number or ""))
        name = _name(place, series.uid or f"{number}")
        located = replace(choice, series=named).at(place)
        found.append(Found(located, name, dicom=True))
    lost = {one.path.parent for one in index.unread} if not wanted else set()
    read = {one.path.parent for series in index.series for one in series.instances}
    found += [
        Found(folder if path.is_dir() else path, f"unreadable_{number}", dicom=True)
        for number, folder in enumerate(sorted(lost - read), start=1)
    ]
    twice = [one.name for one in found]
    found = [
        replace(one, name=f"{one.name}_{k}") if twice.count(one.name) > 1 else one
        for k, one in enumerate(found, start=1)
    ]
    return sorted(found, key=lambda one: one.name)


def _is_wanted(series: IndexedSeries, wanted: str) -> bool:
    return wanted in (series.uid, str(series.number))


def _less(index: Index, root: Path, folder: Path) -> Index:
    """Return an index of a root without the answers of earlier calls, which lie in a folder."""
    same = root.resolve() == folder.resolve()
    own: dict[Path, bool] = {}

    def elsewhere(path: Path) -> bool:
        if not path.resolve().is_relative_to(folder.resolve()):
            return True
        if path.parent not in own:
            own[path.parent] = not same or _is_own(path.parent)
        return not own[path.parent]

    kept = [
        replace(series, instances=tuple(one for one in series.instances if elsewhere(one.path)))
        for series in index.series
    ]
    return replace(
        index,
        series=tuple(series for series in kept if series.instances),
        unread=tuple(one for one in index.unread if elsewhere(one.path)),
    )


def _common(path: Path, files: Sequence[Path]) -> Path:
    """Return the deepest folder that holds all files; the file itself where it was asked for."""
    if path.is_file():
        return path
    return Path(os.path.commonpath([file.parent for file in files]))


def _name(place: Path, uid: str) -> str:
    if _is_own(place):
        return place.name
    return f"series_{hashlib.sha256(uid.encode()).hexdigest()[:10]}"
