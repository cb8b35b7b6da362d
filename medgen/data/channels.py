"""The columns of one role on the working grid: resampled once, checked, encoded, stacked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.config import OwnScale, PercentileScale, Scale, SharedScale
from medgen.data.classes import Classes
from medgen.data.frame import Frame
from medgen.data.intensity import ARBITRARY, Codec, fitted_codec, measure, unit_of
from medgen.data.masks import Mask
from medgen.data.pairing import check_label, check_pair
from medgen.problems import MedgenError, Problem, Refusal
from medgen.volumes import Grid, Volume, field_of_view, resample, where_measured

Array = NDArray[Any]

CLIPPED_SHARE = 1e-3
"""Share of clipped voxels from which a warning is worth its line."""

UNSEEN_SHARE = 0.01
"""Share of the body beyond a label's field of view from which the same holds."""


@dataclass(frozen=True)
class Scales:
    """The scales by column, and what was fitted for the cohort ones."""

    intensity: Mapping[str, Scale]
    cohort: Mapping[str, tuple[float, float]]
    decoded: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Low and high of percentile-scaled columns whose answers are of nobody's own volume."""

    def codec(
        self,
        column: str,
        values: Array,
        body: Mask,
        known: Mapping[str, Codec],
        *,
        unit: str = ARBITRARY,
    ) -> Codec:
        """Measure a column's codec; `known` holds those of the case that it may share.

        Raises:
            Refusal: E_SCALE_SHARED where the column it shares with is absent, E_FLAT_INTENSITY.
        """
        if column in known:
            return known[column]
        scale = self.intensity[column]
        shared = known.get(scale.column) if isinstance(scale, SharedScale) else None
        if isinstance(scale, SharedScale) and shared is None:
            message = f"its scale is that of {scale.column!r}, which this case lacks"
            raise Refusal(Problem("E_SCALE_SHARED", message, "fill that cell of the table"))
        cohort = self.cohort.get(column)
        return measure(scale, values, body, unit=unit, cohort=cohort, shared=shared)

    def codec_at_conversion(self, column: str, known: Mapping[str, Codec]) -> Codec:
        """Return what decodes an answer, from the source's codecs and the run alone.

        Raises:
            Refusal: E_SCALE_SHARED; E_SCALE_UNFITTED where the run measured no such column.
        """
        scale = self.intensity[column]
        # Before the source's own: where both roles read one column, the answer is the other's.
        if isinstance(scale, PercentileScale) and column in self.decoded:
            return fitted_codec(scale, self.decoded[column])
        if isinstance(scale, OwnScale) and column not in known:
            message = "the run measured nothing to decode an answer of this column by"
            advice = "train again, or give the column scale: cohort"
            raise Refusal(Problem("E_SCALE_UNFITTED", message, advice, column=column))
        nothing = np.zeros((1, 1, 1), dtype=np.float32)
        return self.codec(column, nothing, np.zeros((1, 1, 1), dtype=np.bool_), known)


@dataclass(frozen=True, eq=False)
class Channels:
    """The columns of one role, a channel each."""

    encoded: NDArray[np.float32]
    """(C, X, Y, Z) in the order of the columns."""
    codecs: Mapping[str, Codec]
    seen: Mask
    """Where every column has its field of view and was measured, not padded."""
    warnings: tuple[str, ...]
    overlaps: Mapping[str, float]


def encode_columns(
    frame: Frame,
    volumes: Mapping[str, Volume],
    columns: Sequence[str],
    *,
    scales: Scales,
    known: Mapping[str, Codec],
    min_overlap: float,
) -> Channels:
    """Resample, check and encode the columns of one role; those that share a scale come last.

    Voxels outside a column's own field of view hold its background.

    Raises:
        Refusal: a column is missing, flat, shows no body, or does not overlap the reference.
    """
    codecs = dict(known)
    encoded: dict[str, NDArray[np.float32]] = {}
    overlaps: dict[str, float] = {}
    warnings: list[str] = []
    seen = np.ones(frame.grid.shape, dtype=np.bool_)
    for column in sorted(columns, key=lambda c: isinstance(scales.intensity[c], SharedScale)):
        with placed(column):
            volume = require(volumes, column)
            inside = where_measured(volume, frame.grid)
            values = frame.values
            if column != frame.column:
                values = resample(volume.data, volume.grid, frame.grid, device=frame.device)
                unit = unit_of(scales.intensity[column])
                overlap = check_pair(frame, values, inside, unit=unit, min_overlap=min_overlap)
                overlaps.update({} if overlap is None else {column: overlap})
            body = frame.body & inside
            codec = scales.codec(column, values, body, codecs, unit=volume.unit)
            warnings += _clipping(column, codec, values[inside])
            values = codec.encode(values)
            values[~inside] = codec.encode(np.asarray(codec.background))
        codecs[column] = codec
        encoded[column] = values
        seen &= inside
    stacked = np.stack([encoded[column] for column in columns])
    chosen = {column: codecs[column] for column in columns}
    return Channels(stacked, chosen, seen, tuple(warnings), overlaps)


def label_channel(
    frame: Frame,
    volumes: Mapping[str, Volume],
    column: str,
    classes: Classes,
    *,
    min_overlap: float,
) -> tuple[NDArray[np.uint8], Mask, tuple[str, ...]]:
    """Return a label column's class indices (1, X, Y, Z), where it has a field of view, warnings.

    A working voxel takes the class that fills the greatest share of it: by nearest neighbour a
    coarser grid would miss small structures, or hold them, by chance.

    Raises:
        Refusal: E_LABEL_VALUES where a value is not a whole number from 0 to 255, or not named;
            E_PAIR_OVERLAP where less than `min_overlap` of what is labelled lies in the body.
    """
    with placed(column):
        volume = require(volumes, column)
        native = classes.indices(volume.data)
        check_label(frame, native, volume.grid, least=min_overlap)
        seen = field_of_view(volume.grid, frame.grid)
        best = np.zeros(frame.grid.shape, dtype=np.uint8)
        largest = resample((native == 0).astype(np.float32), volume.grid, frame.grid, outside=1.0)
        for index in (int(k) for k in np.unique(native) if k):
            share = resample(
                (native == index).astype(np.float32), volume.grid, frame.grid, outside=0.0
            )
            larger = share > largest
            best[larger] = index
            np.maximum(share, largest, out=largest)
        return best[None], seen, _label_doubts(frame, volume, native, seen)


def _label_doubts(
    frame: Frame, volume: Volume, native: NDArray[np.uint8], seen: Mask
) -> tuple[str, ...]:
    """Say what is odd about a label, though it may be meant."""
    doubts = []
    if not native.any():
        doubts.append("nothing is labelled")
    if not volume.grid.same_as(frame.native):
        doubts.append(f"lies on another grid than {frame.column}: was it drawn on that image?")
    unseen = float((frame.body & ~seen).sum()) / max(1, int(frame.body.sum()))
    if unseen > UNSEEN_SHARE:
        doubts.append(f"does not reach {unseen:.0%} of the body, which is left out of training")
    return tuple(doubts)


def mask_column(grid: Grid, volumes: Mapping[str, Volume], column: str) -> Mask:
    """Return where a mask column is above zero, on a grid."""
    with placed(column):
        volume = require(volumes, column)
        if volume.grid.same_as(grid):
            return np.asarray(volume.data > 0)
        above = (volume.data > 0).astype(np.float32)
        return np.asarray(resample(above, volume.grid, grid, outside=0.0) >= 0.5)


def require(volumes: Mapping[str, Volume], column: str) -> Volume:
    """Return a column's volume, or refuse the case with E_COLUMN_EMPTY."""
    if column not in volumes:
        message = "the case has no image in this column"
        raise Refusal(Problem("E_COLUMN_EMPTY", message, "fill the cell", column=column))
    return volumes[column]


@contextmanager
def placed(column: str) -> Iterator[None]:
    """Name the column in whatever goes wrong inside."""
    try:
        yield
    except MedgenError as error:
        raise error.at(column=column) from None


def _clipping(column: str, codec: Codec, values: Array) -> list[str]:
    clipped = codec.clipped(values)
    if clipped <= CLIPPED_SHARE * values.size:
        return []
    window = f"[{codec.low:g}, {codec.high:g}] {codec.unit}"
    return [f"column {column}: {clipped} voxels ({clipped / values.size:.1%}) lie beyond {window}"]
