"""Several complete stacks in one series: echoes and phases, told apart by the tag that varies."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medgen.dicom.choice import Choice
from medgen.dicom.frames import Frame
from medgen.dicom.geometry import position_groups
from medgen.dicom.values import number_of, text_of, texts_of
from medgen.problems import Problem

_LISTED = 8
_SAME_ECHO = 0.01  # relative difference below which two echo times are one
_TIME = re.compile(r"(\d\d)(\d\d)?(\d\d)?(\.\d{1,6})?")
_DAY_SECONDS = 86400

Key = float | tuple[str, ...]
"""What a tag says of a frame: a number, or texts, which are compared but never shown."""


@dataclass(frozen=True)
class _Tag:
    """A tag that may tell phases apart, what its keys are, and their unit."""

    name: str
    kind: Literal["number", "text", "moment"] = "number"
    unit: str = ""
    strong: bool = False
    """Whether its values alone make stacks, also where these differ in their number of slices."""
    exact: bool = False
    """Whether a value means the same stack at every position, as a time's need not."""


_TAGS = (
    _Tag("TemporalPositionIdentifier", strong=True, exact=True),
    _Tag("TemporalPositionIndex", strong=True, exact=True),
    _Tag("NominalPercentageOfCardiacPhase", unit=" %", strong=True, exact=True),
    _Tag("DiffusionBValue", unit=" s/mm2", strong=True, exact=True),
    _Tag("InversionTime", unit=" ms", strong=True),
    _Tag("FlipAngle", unit=" degrees", strong=True, exact=True),
    _Tag("TriggerTime", unit=" ms", strong=True),
    _Tag("ImageType", "text"),
    _Tag("ComplexImageComponent", "text"),
    _Tag("ConvolutionKernel", "text"),
    _Tag("AcquisitionNumber", strong=True, exact=True),
    _Tag("FrameReferenceTime", unit=" ms"),
    _Tag("AcquisitionDateTime", "moment", " s after the first"),
    _Tag("AcquisitionTime", "moment", " s after the first"),
    _Tag("ContentTime", "moment", " s after the first"),
)
_WOVEN = (
    *(tag for tag in _TAGS if tag.exact and tag.name != "AcquisitionNumber"),
    _Tag("InversionTime", unit=" ms"),
    _Tag("KVP", unit=" kV"),
    *(tag for tag in _TAGS if tag.kind == "text"),
    _Tag("ContrastBolusAgent", "text"),
    _Tag("StackID", "text"),
)
"""What may not alternate from slice to slice of one volume. Acquisition numbers and times may:
odd slices are often acquired before even ones."""


def chooses_between(frames: Sequence[Frame], choice: Choice) -> tuple[list[Frame], list[Problem]]:
    """Return the frames of the one stack that a series holds or that the choice picks.

    Echoes are groups of EchoTime (1 % apart or more), else of EchoNumbers, in rising order.
    Phases are there where positions repeat: the first tag that tells the images of every position
    apart orders them, from TemporalPositionIdentifier over cardiac phase, b-value, inversion and
    trigger time, image type and AcquisitionNumber to acquisition and content time. Images that
    none tells apart stay, and are E_DUPLICATE_SLICE in the geometry. Phases are there too where
    positions do not repeat, but a tag that one volume has one value of alternates along them.

    Problems: E_SEVERAL_ECHOES, E_NO_ECHO, E_SEVERAL_PHASES, E_NO_PHASE.
    """
    if not frames:
        return [], []
    kept, problems = _one_of_echoes(list(frames), choice.echo)
    first_echo, more = _one_of_phases(kept, choice.phase)
    return (first_echo, [*problems, *more])


def _one_of_echoes(frames: list[Frame], wanted: int | None) -> tuple[list[Frame], list[Problem]]:
    name, unit, keys = "EchoTime", " ms", _numbers(frames, "EchoTime")
    labels = None if keys is None else _clusters(keys)
    if labels is None or labels.max() == 0:
        name, unit, keys = "EchoNumbers", "", _numbers(frames, "EchoNumbers")
        labels = None
        if keys is not None and len(set(keys)) > 1:
            repeated = _most_repeated(position_groups(frames)) > 1
            labels = _ranks_of_values(keys) if repeated else None
    if labels is None or keys is None:
        labels, keys = np.zeros(len(frames), dtype=np.int64), [0.0] * len(frames)
    picked, problem = _pick(labels, wanted, "echo", lambda: _values(name, unit, labels, keys))
    return [frames[index] for index in np.flatnonzero(labels == picked).tolist()], problem


def _one_of_phases(frames: list[Frame], wanted: int | None) -> tuple[list[Frame], list[Problem]]:
    places = position_groups(frames)
    repeated = _most_repeated(places) > 1
    found = None
    if places is not None:
        found = _splitting(frames, places) if repeated else _weaving(frames, places)
    if found is None and not repeated:
        _, problem = _pick(np.zeros(1, dtype=np.int64), wanted, "phase", str)
        return frames, problem
    if found is None:  # not phases but duplicates: the geometry says so
        return frames, []
    labels, describe = found
    picked, problem = _pick(labels, wanted, "phase", describe)
    return [frames[index] for index in np.flatnonzero(labels == picked).tolist()], problem


def _pick(
    labels: NDArray[np.int64], wanted: int | None, noun: str, describe: Callable[[], str]
) -> tuple[int, list[Problem]]:
    """Return the label that is wanted or the only one; else the first, with the problem."""
    count = int(labels.max()) + 1
    plural = {"echo": "echoes", "phase": "phases"}[noun]
    if wanted is not None and wanted > count:
        held = f"1 {noun}" if count == 1 else f"{count} {plural}: {describe()}"
        message = f"{noun} {wanted} was chosen, and the series holds {held}"
        return 0, [Problem(f"E_NO_{noun.upper()}", message, f"choose another --{noun}, or none")]
    if wanted is None and count > 1:
        message = f"the series holds {count} {plural}, {describe()}"
        advice = f"choose one with --{noun} N"
        return 0, [Problem(f"E_SEVERAL_{plural.upper()}", message, advice)]
    return (wanted or 1) - 1, []


def _splitting(
    frames: list[Frame], places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Callable[[], str]] | None:
    """Return the phase of each frame by the first tag that tells them all apart."""
    for tag in _TAGS:
        keys = _keys(frames, tag)
        if keys is None:
            continue
        labels = _ranks_within(keys, places, same=tag.kind == "text")
        if (
            labels is not None
            and tag.exact
            and len(set(zip(keys, labels, strict=True))) > len(set(keys))
        ):
            labels = None  # one phase lacks an image here and another there
        if labels is not None and tag.kind == "moment" and not _in_turn(frames, labels, keys):
            labels = None
        if labels is None and tag.strong:
            labels = _by_value(keys, places)
        if labels is not None:
            return labels, _describing(tag, labels, keys)
    return None


def _in_turn(frames: list[Frame], labels: NDArray[np.int64], keys: Sequence[Key]) -> bool:
    """Tell whether times order phases, and not merely images that were made in any order.

    They do where each phase ended before the next began, or where InstanceNumbers order the images
    of all positions in the same way.
    """
    times = np.array(keys, dtype=np.float64)
    stacks = [times[labels == label] for label in range(int(labels.max()) + 1)]
    if all(one.max() < after.min() for one, after in itertools.pairwise(stacks)):
        return True
    numbers = _numbers(frames, "InstanceNumber")
    places = position_groups(frames)
    if numbers is None or places is None:
        return False
    ranks = _ranks_within(numbers, places, same=False)
    pairs = set() if ranks is None else set(zip(labels.tolist(), ranks.tolist(), strict=True))
    return len(pairs) == len(stacks)


def _weaving(
    frames: list[Frame], places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Callable[[], str]] | None:
    """Return the stack of each frame by the first tag whose values alternate along the normal."""
    along = np.argsort(places, kind="stable")
    for tag in _WOVEN:
        keys = _keys(frames, tag)
        if keys is None or len(set(keys)) < 2:
            continue
        labels = _ranks_of_values(keys)
        runs = 1 + np.count_nonzero(np.diff(labels[along]))
        if np.bincount(labels).min() > 1 and runs >= 2 * (labels.max() + 1):
            return labels, _describing(tag, labels, keys)
    return None


def _keys(frames: Sequence[Frame], tag: _Tag) -> Sequence[Key] | None:
    """Return what a tag says of each frame; None unless it says something of all."""
    if tag.kind == "text":
        return [texts_of(frame.header, tag.name) for frame in frames]
    if tag.kind == "number":
        return _numbers(frames, tag.name)
    found = [_moment(frame, tag.name) for frame in frames]
    seconds = [second for second in found if second is not None]
    return [second - min(seconds) for second in seconds] if len(seconds) == len(found) else None


def _describing(tag: _Tag, labels: NDArray[np.int64], keys: Sequence[Key]) -> Callable[[], str]:
    if tag.kind == "text":
        return lambda: f"told apart by {tag.name}"
    return lambda: _values(tag.name, tag.unit, labels, keys)


def _values(name: str, unit: str, labels: NDArray[np.int64], keys: Sequence[Key]) -> str:
    """Return what each stack's least value of a tag is, with its number of images."""
    words = []
    for label in range(min(int(labels.max()) + 1, _LISTED)):
        inside = [key for key, one in zip(keys, labels, strict=True) if one == label]
        least = min(key for key in inside if isinstance(key, float))
        words.append(f"{label + 1}: {least:g}{unit} ({len(inside)} images)")
    more = int(labels.max()) + 1 - len(words)
    return f"told apart by {name}: " + ", ".join(words) + (f", {more} more" if more > 0 else "")


def _ranks_within(
    keys: Sequence[Key], places: NDArray[np.int64], *, same: bool
) -> NDArray[np.int64] | None:
    """Return each frame's rank at its position, where all positions hold as many, all different.

    So gated and dynamic series are told apart whose times differ a little between slices. `same`
    asks for the same keys at all positions.
    """
    counts = np.bincount(places)
    if counts.min() != counts.max():
        return None
    labels = np.zeros(len(keys), dtype=np.int64)
    first: list[Key] | None = None
    for place in range(len(counts)):
        members: list[int] = np.flatnonzero(places == place).tolist()
        order = sorted(members, key=lambda index: keys[index])
        found = [keys[index] for index in order]
        first = first or found
        if len(set(found)) < len(found) or (same and found != first):
            return None
        labels[order] = np.arange(len(order))
    return labels


def _by_value(keys: Sequence[Key], places: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the stack of each frame by value, where each value holds slices at many positions."""
    labels = _ranks_of_values(keys)
    pairs = Counter(zip(labels.tolist(), places.tolist(), strict=True))
    if labels.max() == 0 or max(pairs.values()) > 1 or np.bincount(labels).min() < 2:
        return None
    return labels


def _ranks_of_values(keys: Sequence[Key]) -> NDArray[np.int64]:
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    return np.array([ranks[key] for key in keys], dtype=np.int64)


def _clusters(values: Sequence[float]) -> NDArray[np.int64]:
    """Return the cluster of each value, counted in rising order from 0."""
    array = np.asarray(values)
    order = np.argsort(array, kind="stable")
    steps = np.diff(array[order]) > _SAME_ECHO * np.abs(array[order][1:])
    labels = np.zeros(len(array), dtype=np.int64)
    labels[order] = np.concatenate([[0], np.cumsum(steps)])
    return labels


def _most_repeated(places: NDArray[np.int64] | None) -> int:
    return 0 if places is None else int(np.bincount(places).max())


def _numbers(frames: Sequence[Frame], keyword: str) -> list[float] | None:
    """Return a tag's number in each frame; None unless all have one."""
    found = [number_of(frame.header, keyword) for frame in frames]
    numbers = [number for number in found if number is not None and np.isfinite(number)]
    return numbers if len(numbers) == len(found) else None


def _moment(frame: Frame, keyword: str) -> float | None:
    """Return a DICOM time (with its date, where there is one) or date and time, in seconds."""
    if keyword.endswith("DateTime"):
        text = text_of(frame.header, keyword)
        day, clock = text[:8], re.split(r"[+-]", text[8:])[0]
    else:
        day, clock = text_of(frame.header, keyword.replace("Time", "Date")), ""
        clock = text_of(frame.header, keyword)
    match = _TIME.fullmatch(clock)
    if match is None:
        return None
    hours, minutes, seconds, fraction = match.groups()
    of_day = int(hours) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + float(fraction or 0)
    try:
        return of_day + _DAY_SECONDS * date.fromisoformat(day).toordinal() if day else of_day
    except ValueError:
        return of_day
