"""What a generative model draws, as contact sheets: samples, their neighbours, and walks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
from numpy.typing import NDArray

from medgen.report.sheet import Look, Sheet, to_png
from medgen.report.slices import NORMAL, PLANES, Cut, Plane, cut

COLUMNS = 8
"""Pictures beside each other."""
SHEET_VOLUMES, SHEET_SLICES = 8, 24
"""Samples on a sheet: a volume takes a row for each plane, a slice takes one picture."""
INCHES = 1.45

Images = NDArray[Any]
"""Images (N, C, X, Y, Z) with axes to right, anterior, superior; Z is 1 where they are slices."""


class Window(NamedTuple):
    """How one channel's values become grey, and what they are called."""

    low: float
    high: float
    label: str


def drawn_at_most(images_shape: Sequence[int]) -> int:
    """Return how many images (C, X, Y, Z) of a shape fit on a sheet of samples."""
    return SHEET_SLICES if images_shape[-1] == 1 else SHEET_VOLUMES


def samples_sheet(
    samples: Images, windows: Sequence[Window], *, spacing_mm: Sequence[float], title: str
) -> bytes:
    """Draw samples side by side, cut through their middles, and return PNG bytes.

    The first channel of volumes is shown in three planes, every other one axially. Heads are the
    samples' numbers, read down.
    """
    shown = samples[: drawn_at_most(samples.shape[1:])]
    rows: list[Row] = []
    for first in range(0, len(shown), COLUMNS):
        rows += _rows_of(shown[first : first + COLUMNS], spacing_mm)
    heads = [
        ", ".join(str(number) for number in range(column, len(shown), COLUMNS))
        for column in range(min(COLUMNS, len(shown)))
    ]
    return _drawn(rows, heads, windows, title)


def neighbours_sheet(
    samples: Images,
    neighbours: Images,
    heads: Sequence[str],
    windows: Sequence[Window],
    *,
    spacing_mm: Sequence[float],
    title: str,
) -> bytes:
    """Draw each sample above its neighbour, in every plane; heads say how far apart they are."""
    rows: list[Row] = []
    pairs = [_rows_of(images[:COLUMNS], spacing_mm) for images in (samples, neighbours)]
    for sample, neighbour in zip(*pairs, strict=True):
        rows += [sample, neighbour]
    return _drawn(rows, heads[:COLUMNS], windows, title)


def walks_sheet(
    walks: Sequence[Images], windows: Sequence[Window], *, spacing_mm: Sequence[float], title: str
) -> bytes:
    """Draw walks between latents, each a row for the axial plane; one alone has all its planes."""
    rows: list[Row] = []
    for walk in walks:
        found = _rows_of(walk, spacing_mm)
        rows += found if len(walks) == 1 else found[:1]
    steps = len(walks[0])
    heads = [f"{step / max(1, steps - 1):.2f}" for step in range(steps)]
    return _drawn(rows, heads, windows, title)


class Row(NamedTuple):
    """Cuts of one plane and one channel."""

    cuts: list[Cut]
    channel: int


def _rows_of(images: Images, spacing_mm: Sequence[float]) -> list[Row]:
    """Cut images through their middles: the first channel in all planes, the others axially."""
    flat = images.shape[-1] == 1
    wanted: list[tuple[int, Plane]] = [(0, plane) for plane in (PLANES[:1] if flat else PLANES)]
    wanted += [(channel, PLANES[0]) for channel in range(1, images.shape[1])]
    return [
        Row([_middle(image[channel], spacing_mm, plane) for image in images], channel)
        for channel, plane in wanted
    ]


def _middle(volume: NDArray[Any], spacing_mm: Sequence[float], plane: Plane) -> Cut:
    return cut(volume, spacing_mm, plane, volume.shape[NORMAL[plane]] // 2)


def _drawn(
    rows: Sequence[Row], heads: Sequence[str], windows: Sequence[Window], title: str
) -> bytes:
    grey = mpl.colormaps["gray"]
    looks = [Look(window.low, window.high, grey, window.label) for window in windows]
    sheet = Sheet([row.cuts for row in rows], INCHES, title)
    for column, head in enumerate(heads):
        sheet.head(column, head)
    for place, row in enumerate(rows):
        for column in range(len(row.cuts)):
            sheet.picture(place, column, looks[row.channel], None, hide=False)
    # One bar for each channel is enough: all pictures of a channel share its window.
    for channel, look in enumerate(looks[: len(rows[0].cuts)]):
        sheet.bar(channel, look)
    return to_png(sheet.figure)
