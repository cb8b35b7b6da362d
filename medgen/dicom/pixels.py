"""The voxels of a series: every file read once, decoded, rescaled, and its padding found."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.dicom.decoding import words_of
from medgen.dicom.frames import Frame, Instance
from medgen.dicom.layout import Layout, layout_of
from medgen.dicom.loading import Fetched, fetch, load
from medgen.dicom.mosaic import mosaic_problems
from medgen.dicom.padding import (
    AIR_HU,
    LEAST_HU,
    is_tissue,
    padding_notes,
    padding_of,
    replacement,
    spread_by_loss,
)
from medgen.dicom.rescale import Rescale, is_whole, rescale_of, rescale_problems
from medgen.dicom.syntaxes import NATIVE, is_lossy, syntax_of, syntax_problems
from medgen.dicom.values import modality_of, quiet, whole_of
from medgen.limits import Limits, size_problems
from medgen.problems import Problem, Refusal

_AGAIN = "copy or export it again"
Placed = list[tuple[int, Frame]]
"""Frames of one file, each with its place in the volume."""

_WHOLE_TYPES = (np.int16, np.int32, np.float32)  # each holds more than the one before


@dataclass(frozen=True, eq=False)
class Pixels:
    """The values of frames, and of which bytes they were made."""

    data: NDArray[Any] = field(repr=False)
    """(X, Y, Z) along columns, rows and frames in the order given. Where every slope is 1 and
    every intercept whole, the smallest of int16, int32 and float32 that holds all; else float32."""
    valid: NDArray[np.bool_] | None = field(repr=False)
    """(X, Y, Z), False where the scanner padded; None where it did nowhere."""
    digest_by_path: dict[Path, str] = field(repr=False)
    """SHA-256 of each file's bytes."""
    notes: tuple[Problem, ...] = ()
    """W_PADDING and W_LOSSY."""


def pixel_problems(frames: Sequence[Frame], limits: Limits) -> list[Problem]:
    """Return all that headers, and the files' sizes, say against reading the pixels of frames.

    Codes: E_MONOCHROME1, E_COLOUR, E_PIXEL_TYPE, E_TRANSFER_SYNTAX, E_MOSAIC, E_RESCALE,
    E_TOO_LARGE, and E_TRUNCATED where a file is shorter than its native pixels alone.
    """
    return _judge(frames, limits)[1]


@quiet()
def read_pixels(frames: Sequence[Frame], *, limits: Limits, judged: bool = False) -> Pixels:
    """Read, decode and rescale the frames of a series, in the order given.

    Each frame's own slope and intercept make values of its stored ones, in float64 where they are
    not whole. Only bits from HighBit down count. Padding becomes what `padding.replacement` says,
    and so do voxels of CT below `LEAST_HU`. Each file is read once, and its digest is that of the
    bytes that were decoded. `judged` says that `pixel_problems` found nothing in these very frames,
    so that it need not be asked again.

    Raises Refusal with the problems of all files: those of `pixel_problems`, E_SLICE_SHAPE where
    frames differ in size, and what only decoding shows, E_TRUNCATED, E_PIXEL_DATA, E_BAD_HEADER or
    E_UNREADABLE.
    """
    if not frames:
        raise ValueError("no frames to read")
    layouts, problems = (_layouts(frames), []) if judged else _judge(frames, limits)
    if problems:
        raise Refusal(problems)
    series = _Voxels(frames, layouts)
    at: dict[Path, list[tuple[int, Frame]]] = defaultdict(list)
    for index, frame in enumerate(frames):
        at[frame.instance.path].append((index, frame))
    for placed, fetched in _ahead(list(at.values()), layouts, limits):
        try:
            _read_file(placed, fetched.result(), series)
        except Refusal as refusal:
            problems += refusal.problems
    if problems:
        raise Refusal(dict.fromkeys(problems))
    return series.result()


def _ahead(
    files: Sequence[Placed], layouts: Mapping[Path, Layout], limits: Limits
) -> Iterator[tuple[Placed, Future[Fetched]]]:
    """Yield the frames of each file with its bytes, which are read and hashed meanwhile.

    No more than two files wait: the one in hand, and the one being read.
    """
    with ThreadPoolExecutor(max_workers=1) as reader:

        def begin(placed: Placed) -> Future[Fetched]:
            instance = placed[0][1].instance
            size = layouts[instance.path].bytes_per_frame * _frame_count(instance)
            return reader.submit(fetch, instance.path, pixel_bytes=size, limits=limits)

        waiting: deque[tuple[Placed, Future[Fetched]]] = deque()
        for placed in files:
            waiting.append((placed, begin(placed)))
            if len(waiting) > 1:
                yield waiting.popleft()
        yield from waiting


def _layouts(frames: Sequence[Frame]) -> dict[Path, Layout]:
    found = {one.path: layout_of(one.header)[0] for one in _instances(frames)}
    return {path: layout for path, layout in found.items() if layout is not None}


@quiet()
def _judge(frames: Sequence[Frame], limits: Limits) -> tuple[dict[Path, Layout], list[Problem]]:
    """Return the layout of each file that has one, and what is wrong by headers and sizes."""
    found: list[Problem] = []
    layouts: dict[Path, Layout] = {}
    for instance in _instances(frames):
        layout, problems = layout_of(instance.header)
        found += [*problems, *syntax_problems(instance.header)]
        if layout is not None:
            layouts[instance.path] = layout
            found += _length_problems(instance, layout)
            shape = (layout.columns, layout.rows, len(frames))
            found += [one for one in size_problems(shape, limits) if one.code == "E_TOO_LARGE"]
    found += mosaic_problems(frames)
    found += rescale_problems(frames)
    return layouts, list(dict.fromkeys(found))


class _Voxels:
    """The volume while it is being filled, (Z, Y, X) in memory."""

    def __init__(self, frames: Sequence[Frame], layouts: dict[Path, Layout]) -> None:
        kinds = set(layouts.values())
        sizes = {(kind.columns, kind.rows) for kind in kinds}
        if len(sizes) != 1:
            message = f"its images have {len(sizes)} different numbers of columns and rows"
            advice = "export each series on its own"
            raise Refusal(Problem("E_SLICE_SHAPE", message, advice))
        ((columns, rows),) = sizes
        self.layouts = layouts
        self.rescales = [rescale_of(frame)[0] for frame in frames]
        _check_range(kinds, self.rescales)
        self.whole = is_whole(self.rescales)
        shape = (len(frames), rows, columns)
        self.data: NDArray[Any] = np.empty(shape, np.int16 if self.whole else np.float32)
        self.valid: NDArray[np.bool_] | None = None
        self.digests: dict[Path, str] = {}
        self.lossy = any(is_lossy(instance.header) for instance in _instances(frames))
        self.doubtful = False
        self.replaced = 0
        self.by: set[int] = set()

    def put(self, index: int, frame: Frame, words: NDArray[Any], layout: Layout) -> None:
        """Rescale one frame's words and place them."""
        stored = layout.stored_values(words)
        rescale = self.rescales[index]
        if self.whole:
            self._put_whole(index, stored, int(rescale[1]), layout)
        else:
            values = np.multiply(stored, rescale[0], dtype=np.float64)
            values += rescale[1]
            self.data[index] = values
        modality = modality_of(frame.header)
        self._pad_stated(index, frame, words, stored, layout, modality)
        if modality == "CT" and layout.least * rescale[0] + rescale[1] < LEAST_HU:
            below = self.data[index] < LEAST_HU
            if below.any():
                self._pad(index, below, AIR_HU)

    def _pad_stated(
        self,
        index: int,
        frame: Frame,
        words: NDArray[Any],
        stored: NDArray[Any],
        layout: Layout,
        modality: str,
    ) -> None:
        """Replace the padding that the header states."""
        rescale = self.rescales[index]
        padding = padding_of(frame.header, layout)
        if padding is None:
            return
        if self.lossy and modality == "CT":
            padding = spread_by_loss(padding, rescale, layout)
        value = replacement(padding, modality, rescale)
        mask = padding.mask(words, stored, layout)
        if not mask.any():
            return
        self.doubtful |= is_tissue(padding, modality, rescale)
        if value is not None:
            self._pad(index, mask, value)

    def _put_whole(self, index: int, stored: NDArray[Any], intercept: int, layout: Layout) -> None:
        """Place whole values; the volume widens once one of them asks for more bits."""
        ends = layout.least + intercept, layout.greatest + intercept
        if not _holds(self.data.dtype, ends):  # what could be does not fit: look at what is
            ends = int(stored.min()) + intercept, int(stored.max()) + intercept
        while self.data.dtype.kind == "i" and not _holds(self.data.dtype, ends):
            wider = _WHOLE_TYPES[_WHOLE_TYPES.index(self.data.dtype.type) + 1]
            self.data = self.data.astype(wider)
        kind = self.data.dtype if self.data.dtype.kind == "i" else np.dtype(np.int64)
        # In a type that holds both ends, sums are right even where they wrap on the way.
        offset = np.array(intercept).astype(kind)
        np.add(stored, offset, out=self.data[index], dtype=kind, casting="unsafe")

    def _pad(self, index: int, mask: NDArray[np.bool_], value: int) -> None:
        if self.valid is None:
            self.valid = np.ones(self.data.shape, dtype=bool)
        self.valid[index] &= ~mask
        self.data[index][mask] = value
        self.replaced += int(mask.sum())
        self.by.add(value)

    def result(self) -> Pixels:
        """Return the volume along (X, Y, Z), without another copy."""
        notes = padding_notes(replaced=self.replaced, by=self.by, doubtful=self.doubtful)
        if self.lossy:
            message = "its pixels were compressed with loss: values are not quite those measured"
            notes.append(Problem("W_LOSSY", message))
        valid = None if self.valid is None else self.valid.transpose(2, 1, 0)
        return Pixels(self.data.transpose(2, 1, 0), valid, self.digests, tuple(notes))


def _holds(kind: np.dtype[Any], ends: tuple[int, int]) -> bool:
    """Tell whether an integer type holds both ends of a range."""
    return kind.kind == "i" and bool(
        np.iinfo(kind).min <= ends[0] and ends[1] <= np.iinfo(kind).max
    )


def _read_file(placed: Placed, fetched: Fetched, series: _Voxels) -> None:
    """Decode the frames of one file into their places."""
    instance = placed[0][1].instance
    layout = series.layouts[instance.path]
    count = _frame_count(instance)
    series.digests[instance.path] = fetched.digest
    loaded = load(fetched, pixel_bytes=layout.bytes_per_frame * count, known=instance)
    again = layout if loaded.header is instance.header else layout_of(loaded.header)[0]
    if again != layout or loaded.syntax != syntax_of(instance.header):
        message = "a file is not what it was when its header was read"
        raise Refusal(Problem("E_PIXEL_DATA", message, "wait until nobody writes to the folder"))
    wanted = defaultdict(list)
    for index, frame in placed:
        wanted[frame.number].append((index, frame))
    for number, words in words_of(loaded, layout, frames=count, wanted=wanted):
        for index, frame in wanted[number]:
            series.put(index, frame, words, layout)


def _instances(frames: Iterable[Frame]) -> Iterable[Instance]:
    """Return the files of frames, each once, in the order in which they come first."""
    return {frame.instance.path: frame.instance for frame in frames}.values()


def _frame_count(instance: Instance) -> int:
    """Return how many frames a file holds; a classic one holds one without saying so."""
    return whole_of(instance.header, "NumberOfFrames") or 1


def _length_problems(instance: Instance, layout: Layout) -> list[Problem]:
    """Return E_TRUNCATED where a file is too short to hold its native frames."""
    syntax = syntax_of(instance.header)
    if syntax not in NATIVE or syntax.is_deflated:
        return []
    expected = layout.bytes_per_frame * _frame_count(instance)
    try:
        size = instance.path.stat().st_size
    except OSError:
        return []  # reading it says why
    if size >= expected:
        return []
    message = f"a file of {size} bytes cannot hold the {expected} bytes of pixels of its header"
    return [Problem("E_TRUNCATED", message, _AGAIN)]


def _check_range(layouts: Iterable[Layout], rescales: Sequence[Rescale]) -> None:
    """Refuse slopes and intercepts that carry stored values out of what float32 holds."""
    ends = max(max(-one.least, one.greatest) for one in layouts)
    greatest = max(abs(slope) * ends + abs(intercept) for slope, intercept in rescales)
    if greatest > np.finfo(np.float32).max:
        message = f"its rescale values make values up to {greatest:.3g}, which nothing measures"
        raise Refusal(Problem("E_RESCALE", message, _AGAIN))
