"""The files of one series: which one is meant, what comes twice, what is a localizer."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from medgen.dicom.choice import Choice
from medgen.dicom.frames import Frame, Instance
from medgen.dicom.index import Index, IndexedSeries, Unread
from medgen.dicom.values import numbers_of, texts_of, value_of
from medgen.files import sha256_of_file
from medgen.problems import Problem

_LISTED = 12
_INSPECT = "`medgen inspect FOLDER` lists them with their UIDs"
_NUMBER_DIGITS = 12  # of an integer string: PS3.5 section 6.2
_LONE_DEGREES = 5.0  # from which a lone image of another orientation is a localizer
_LONE_AMONG = 3
_NORMAL_DIGITS = 4
_MOST_NORMALS = 4096  # more orientations than slices of any volume
_MODALITY = re.compile("CT|MR|PT|NM|US|XA|RF|DX|CR|MG|OT|SC|SEG|REG|RTDOSE|RTIMAGE|PR|OPT")


@dataclass(frozen=True, eq=False)
class Selection:
    """The image files of one series, what stands against using them, and what was left out."""

    instances: tuple[Instance, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    unread: int = 0
    """How many files that may be of this series could not be read."""


def select(index: Index, choice: Choice) -> Selection:
    """Return the files of the one series that an index holds, or that the choice names.

    `choice.series` is a SeriesInstanceUID or a SeriesNumber. Series of nothing but localizers do
    not count where there are others (W_LOCALIZER). Files that could not be read stand against
    the series, since its slices may be among them: where the choice names a series, only those
    that lie in its folders. Copies of a file are dropped (W_COPIES).

    Problems: E_SEVERAL_SERIES, E_NO_SERIES, those of unread files, E_DUPLICATE_SLICE.
    """
    series, notes = _candidates(index.series, choice)
    if len(series) != 1:
        problems = [none_of(index, choice) if not series else _several(series)]
        return Selection((), (*problems, *unread_problems(index.unread)), tuple(notes))
    (one,) = series
    unread = index.unread
    if choice.series:
        folders = {instance.path.parent for instance in one.instances}
        unread = tuple(file for file in unread if file.path.parent in folders)
    instances, copies, problems = without_copies(one.instances)
    if index.others and not choice.series:
        message = f"{_counted(index.others, 'DICOM file')} without pixels left out"
        notes.append(Problem("W_OTHER_FILES", message))
    return Selection(
        tuple(instances),
        (*unread_problems(unread), *problems),
        (*notes, *copies),
        unread=len(unread),
    )


def _candidates(
    series: Sequence[IndexedSeries], choice: Choice
) -> tuple[list[IndexedSeries], list[Problem]]:
    """Return the series that may be meant, and what was left out of them."""
    if choice.series:
        by_uid = [one for one in series if one.uid == choice.series]
        is_number = choice.series.isdecimal() and len(choice.series) <= _NUMBER_DIGITS
        number = int(choice.series) if is_number else None
        by_number = [one for one in series if number is not None and one.number == number]
        return by_uid or by_number, []
    real = [one for one in series if not all(_says_localizer(i) for i in one.instances)]
    if not real or len(real) == len(series):
        return list(series), []
    files = sum(len(one.instances) for one in series) - sum(len(one.instances) for one in real)
    return real, [_localizers(files)]


def unread_problems(unread: Iterable[Unread]) -> list[Problem]:
    """Return one problem for each way in which files could not be read, with their number."""
    counts = Counter(file.problem for file in unread)
    return [
        problem
        if count == 1
        else Problem(problem.code, f"{count} files: {problem.message}", problem.advice)
        for problem, count in counts.items()
    ]


def none_of(index: Index, choice: Choice) -> Problem:
    """Return E_NO_SERIES for an index without the series that a choice names, or without any."""
    if choice.series and index.series:
        message = f"no series has this UID or number; there {_listing(index.series)}"
        if len(index.series) == 1:
            return Problem("E_NO_SERIES", message, "give its SeriesNumber, or leave out --series")
        return Problem("E_NO_SERIES", message, f"give the SeriesNumber or UID of one; {_INSPECT}")
    files = index.others + len(index.unread)
    message = "there is no DICOM file"
    if files:
        message = f"no DICOM file with pixels among {_counted(files, 'DICOM file')}"
    return Problem("E_NO_SERIES", message, "give the folder that holds the images")


def _several(series: Sequence[IndexedSeries]) -> Problem:
    message = f"{len(series)} series where one is needed: there {_listing(series)}"
    numbers = [one.number for one in series]
    name = "UID" if len(set(numbers)) < len(numbers) or None in numbers else "NUMBER"
    advice = (
        f"choose one with --series {name}, or behind the path (FOLDER/#series={name}), or give the "
        f"folder of one; {_INSPECT}"
    )
    return Problem("E_SEVERAL_SERIES", message, advice)


def _listing(series: Sequence[IndexedSeries]) -> str:
    """Return number, modality and files of each series; no other text of theirs."""
    words = []
    for one in series[:_LISTED]:
        number = "without number" if one.number is None else f"number {one.number}"
        modality = one.modality if _MODALITY.fullmatch(one.modality) else "other modality"
        words.append(f"{number} ({modality}, {_counted(len(one.instances), 'file')})")
    more = len(series) - len(words)
    verb = "is" if len(series) == 1 else "are"
    return f"{verb} " + ", ".join(words) + (f" and {more} more" if more > 0 else "")


def without_copies(
    instances: Sequence[Instance],
) -> tuple[list[Instance], list[Problem], list[Problem]]:
    """Return the files without byte-equal copies, with notes (W_COPIES) and problems.

    Files of one SOPInstanceUID that differ are E_DUPLICATE_SLICE. Without UIDs, files are
    compared that state the same position, and those that differ are left to the geometry.
    """
    groups: dict[tuple[str, ...], list[Instance]] = defaultdict(list)
    for instance in instances:
        uid = str(value_of(instance.header, "SOPInstanceUID") or "")
        place = () if uid else texts_of(instance.header, "ImagePositionPatient")
        groups[uid, *place].append(instance)
    kept: list[Instance] = []
    copies = differing = 0
    for (uid, *_), group in groups.items():
        contents = {_content(one) if len(group) > 1 else "": one for one in reversed(group)}
        distinct = list(reversed(contents.values()))
        copies += len(group) - len(distinct)
        differing += len(distinct) if uid and len(distinct) > 1 else 0
        kept += distinct[:1] if uid else distinct  # what is told once need not be told again
    notes = [Problem("W_COPIES", f"{_copies(copies)} left out")] * bool(copies)
    if not differing:
        return kept, notes, []
    message = f"{differing} files share SOPInstanceUIDs but differ in content"
    advice = "export the series again, or remove the files that do not belong"
    return kept, notes, [Problem("E_DUPLICATE_SLICE", message, advice)]


def _content(instance: Instance) -> str:
    try:
        return sha256_of_file(instance.path)
    except OSError:  # gone or forbidden since it was indexed: reading its pixels will say so
        return str(instance.path)


def without_localizers(frames: Sequence[Frame]) -> tuple[list[Frame], list[Problem]]:
    """Return the images of a series without localizers, and a note (W_LOCALIZER) if there are.

    A localizer says so in ImageType (PS3.3 C.7.6.1.1.2), or is a lone image, at least 5 degrees
    off, in a series whose other images (three or more, and the majority) share an orientation.
    Nothing is dropped where all images are localizers.
    """
    kept = [frame for frame in frames if "LOCALIZER" not in texts_of(frame.header, "ImageType")]
    kept = _without_lone(kept or list(frames))
    dropped = len(frames) - len(kept)
    return kept, [_localizers(dropped)] if dropped else []


def _without_lone(frames: list[Frame]) -> list[Frame]:
    normals = [_normal(frame) for frame in frames]
    known = np.array([normal for normal in normals if normal is not None])
    if len(known) < len(frames) or len(frames) <= _LONE_AMONG:
        return frames
    # Each orientation once: dynamic series have tens of thousands of images, in pairs too many.
    some, which, counts = np.unique(
        known.round(_NORMAL_DIGITS), axis=0, return_inverse=True, return_counts=True
    )
    if len(some) > _MOST_NORMALS:
        return frames
    near = np.abs(some @ some.T) > np.cos(np.deg2rad(_LONE_DEGREES))
    alike = (near @ counts)[which.reshape(-1)]
    if alike.max() < _LONE_AMONG or 2 * alike.max() <= len(frames):
        return frames
    return [frame for frame, count in zip(frames, alike, strict=True) if count > 1]


def _normal(frame: Frame) -> np.ndarray | None:
    numbers = numbers_of(frame.header, "ImageOrientationPatient")
    if len(numbers) != 6:
        return None
    normal = np.cross(numbers[:3], numbers[3:])
    length = float(np.linalg.norm(normal))
    return normal / length if np.isfinite(length) and length > 0 else None


def _says_localizer(instance: Instance) -> bool:
    return "LOCALIZER" in texts_of(instance.header, "ImageType")


def _localizers(count: int) -> Problem:
    return Problem("W_LOCALIZER", f"{_counted(count, 'localizer image')} left out")


def _copies(count: int) -> str:
    return "1 byte-equal copy of a file" if count == 1 else f"{count} byte-equal copies of files"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
