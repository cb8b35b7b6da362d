"""A DICOM series to a volume, or a refusal with every reason: the gate for DICOM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medgen.dicom.choice import Choice, split_choice
from medgen.dicom.frames import HU, SUV, Frame, Series, SeriesFacts
from medgen.dicom.geometry import Arrangement, arrange
from medgen.dicom.index import Index, index_tree
from medgen.dicom.mosaic import mosaic_problems
from medgen.dicom.multiframe import concatenation_problems, frames_of
from medgen.dicom.pixels import Pixels, pixel_problems, read_pixels
from medgen.dicom.selection import select, without_localizers
from medgen.dicom.stacks import chooses_between
from medgen.dicom.straightening import straight_grid, straighten, straightening_note
from medgen.dicom.units import suv_factors, unit_of_frames
from medgen.dicom.values import (
    modality_of,
    number_of,
    quiet,
    value_of,
    whole_of,
)
from medgen.files import sha256_of_file, sha256_of_json
from medgen.limits import Limits, size_problems
from medgen.problems import Problem, Refusal

_DEFAULT_LIMITS = Limits()
_NOTHING_CHOSEN = Choice()
_AIR_HU = -1024.0
_IDENTITY = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
)


@dataclass(frozen=True, eq=False)
class Examination:
    """What the headers of a series say, before any pixel is read."""

    facts: SeriesFacts | None
    """None where the series is refused."""
    unit: str
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    arrangement: Arrangement | None = field(default=None, repr=False)
    factors: NDArray[np.float64] | None = field(default=None, repr=False)
    """SUV for each Bq/ml of each frame, where SUV was chosen."""


def read_series(
    path: Path,
    choice: Choice = _NOTHING_CHOSEN,
    *,
    limits: Limits = _DEFAULT_LIMITS,
) -> Series:
    """Read the one series in a folder, tree or file, or refuse it with all its problems.

    Values come rescaled: HU, Bq/ml, SUV where chosen, counts or arbitrary; int16 or int32 where
    they are whole, else float32. `choice`, which the path may carry too, picks among several
    series, echoes and phases. All that headers can tell is collected before a pixel is read; damage
    to the pixels themselves is found while decoding. Raises Refusal.
    """
    folder, own = split_choice(path)
    choice = own.over(choice)
    with quiet():
        examination = examine(_indexed(folder, limits, choice), choice, limits=limits)
        facts, arrangement = examination.facts, examination.arrangement
        if facts is None or arrangement is None:
            raise Refusal(examination.problems)
        pixels = read_pixels(facts.frames, limits=limits, judged=True)
    data, valid = pixels.data, pixels.valid
    if examination.factors is not None:
        data = data * examination.factors.astype(np.float32)
    if facts.straightened:
        fill = _AIR_HU if examination.unit == HU else 0.0
        data, valid = straighten(data, valid, arrangement, fill=fill)
    return Series(
        data=data,
        facts=facts,
        unit=examination.unit,
        digest=_digest(_hashes(facts.frames, pixels), choice),
        valid=valid,
        notes=(*examination.notes, *pixels.notes),
    )


def examine(
    index: Index,
    choice: Choice = _NOTHING_CHOSEN,
    *,
    limits: Limits = _DEFAULT_LIMITS,
) -> Examination:
    """Judge the one series of an index, or the one that the choice names, by its headers alone.

    Where the series is refused, `facts` is None and `problems` holds all that was found.
    """
    with quiet():
        selection = select(index, choice)
        problems, notes = list(selection.problems), list(selection.notes)
        if not selection.instances:
            return Examination(None, "", tuple(problems), tuple(notes))
        frames: list[Frame] = []
        incomplete = bool(selection.unread)
        for instance in selection.instances:
            found, more = frames_of(instance)
            incomplete |= not found
            frames += found
            problems += more
        problems += concatenation_problems(selection.instances)
        mosaics = mosaic_problems(frames)
        if mosaics:  # a sheet of tiles has the position of none: its geometry is not worth a word
            return Examination(None, "", _once([*problems, *mosaics]), tuple(notes))
        frames, dropped = without_localizers(frames)
        notes += dropped
        frames, more = chooses_between(frames, choice)
        return _judged(frames, [*problems, *more], notes, choice, limits, incomplete=incomplete)


def _judged(
    frames: list[Frame],
    problems: list[Problem],
    notes: list[Problem],
    choice: Choice,
    limits: Limits,
    *,
    incomplete: bool,
) -> Examination:
    """Judge the frames of one stack: their geometry, their pixels and what these measure."""
    if not frames:
        return Examination(None, "", _once(problems), tuple(notes))
    arrangement, more = arrange(frames, straighten=choice.straighten, incomplete=incomplete)
    ordered = list(arrangement.frames) if arrangement else frames
    problems += more + _size_problems(ordered, arrangement, limits)
    problems += pixel_problems(ordered, limits)
    unit, more = unit_of_frames(ordered)
    problems += more
    factors = None
    if choice.unit == SUV and unit != SUV:
        factors, more = suv_factors(ordered)
        problems += more
        unit = SUV
    if problems or arrangement is None:
        return Examination(None, unit, _once(problems), tuple(notes))
    notes = [*notes, *_fewer_than_counted(arrangement.frames)]
    if not arrangement.straight:
        notes.append(straightening_note(arrangement))
    return Examination(
        facts=_facts(arrangement),
        unit=unit,
        problems=(),
        notes=tuple(notes),
        arrangement=arrangement,
        factors=factors,
    )


def _fewer_than_counted(frames: Sequence[Frame]) -> list[Problem]:
    """Note a PET that is shorter than its NumberOfSlices (0054,0081), as after a broken export.

    No gap tells of slices missing at an end. More than are counted is common: beds are counted
    one by one.
    """
    counted = whole_of(frames[0].header, "NumberOfSlices") or 0
    if modality_of(frames[0].header) != "PT" or counted <= len(frames):
        return []
    message = f"the header counts {counted} slices and {len(frames)} are here: compare the export"
    return [Problem("W_FEWER_SLICES", message)]


def _facts(arrangement: Arrangement) -> SeriesFacts:
    first = arrangement.frames[0].header
    straight = arrangement.straight
    grid = arrangement if straight else straight_grid(arrangement)
    return SeriesFacts(
        frames=arrangement.frames,
        affine=grid.affine,
        shape=grid.shape,
        modality=modality_of(first),
        frame_of_reference=str(value_of(first, "FrameOfReferenceUID") or ""),
        straightened=not straight,
        identity=identity_problems(arrangement.frames),
    )


def identity_problems(frames: Sequence[Frame]) -> tuple[Problem, ...]:
    """Return why no series can be derived from these frames: blank or differing UIDs."""
    headers = {id(frame.instance): frame.instance.header for frame in frames}.values()
    blank = [keyword for keyword in _IDENTITY if not all(value_of(one, keyword) for one in headers)]
    problems = []
    advice = "convert to NIfTI, or give a series with its identity as the scanner or PACS sent it"
    if blank:
        message = f"some images have no {', '.join(blank)}"
        problems.append(Problem("E_NO_IDENTITY", message, advice))
    studies = {str(value_of(one, "StudyInstanceUID") or "") for one in headers}
    if len(studies) > 1:
        message = f"the images of this series claim {len(studies)} studies"
        problems.append(Problem("E_NO_IDENTITY", message, advice))
    return tuple(problems)


def digest_of_series(
    path: Path,
    choice: Choice = _NOTHING_CHOSEN,
    *,
    limits: Limits = _DEFAULT_LIMITS,
) -> str:
    """Return the digest that `read_series` gives this series, without reading its pixels.

    Where the headers are refused, it is that of all DICOM files at and below the path, so that it
    changes as soon as something there is mended. Raises OSError where there is no such path, or a
    file cannot be read.
    """
    folder, own = split_choice(path)
    choice = own.over(choice)
    index = _index(folder, limits, choice)
    facts = examine(index, choice, limits=limits).facts
    if facts is not None:
        files = {frame.instance.path for frame in facts.frames}
    else:
        files = {file.path for file in index.unread}
        files |= {one.path for series in index.series for one in series.instances}
    return _digest([sha256_of_file(file) for file in files], choice)


def _hashes(frames: Iterable[Frame], pixels: Pixels) -> list[str]:
    files = {frame.instance.path for frame in frames}
    hashes: Mapping[Path, str] = pixels.digest_by_path
    return [hashes[file] for file in files]


def _digest(hashes: Iterable[str], choice: Choice) -> str:
    """Return the digest of files' hashes, in whatever order, and of what is made of them."""
    made = {
        "echo": choice.echo,
        "phase": choice.phase,
        "unit": choice.unit,
        "straighten": choice.straighten,
    }
    return sha256_of_json({"files": sorted(hashes), **made})


def _indexed(path: Path, limits: Limits, choice: Choice) -> Index:
    if not path.exists():
        raise Refusal(Problem("E_MISSING_FILE", "there is no such file or folder", "check it"))
    try:
        return _index(path, limits, choice)
    except OSError as error:
        message = f"the files cannot be read: {error.strerror or 'input/output error'}"
        raise Refusal(Problem("E_UNREADABLE", message, "check their permissions")) from None


def _index(path: Path, limits: Limits, choice: Choice) -> Index:
    index = index_tree(path, limits=limits, only=choice.series if "." in choice.series else "")
    return index if index.series else index_tree(path, limits=limits)


def _size_problems(
    frames: Sequence[Frame], arrangement: Arrangement | None, limits: Limits
) -> list[Problem]:
    """Return what is wrong with the size, which is known before any pixel is read."""
    if arrangement is not None and not arrangement.straight:
        return size_problems(straight_grid(arrangement).shape, limits)
    sizes = [
        max(number_of(frame.header, keyword) or 0.0 for frame in frames)
        for keyword in ("Columns", "Rows")
    ]
    if not np.isfinite(sizes).all() or min(sizes) < 1:
        return []  # the geometry says so
    shape = (int(sizes[0]), int(sizes[1]), len(frames))
    found = size_problems(shape, limits)
    # Of one slice the geometry says that it is too few, with another way out.
    return found if len(frames) > 1 else [one for one in found if one.code == "E_TOO_LARGE"]


def _once(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(dict.fromkeys(problems))
