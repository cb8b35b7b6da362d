"""One case in one picture: its volumes in three planes, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.ticker import MaxNLocator

from medgen.report.raster import Canvas, coloured, font, painted, wrapped
from medgen.report.sheet import FAINT, INK, Look
from medgen.report.slices import Cut

WIDTH = 780
_EDGE, _GAP, _KEY = 12, 6, 104
_TALLEST = 300
"""Pixels: no picture is higher, however tall the body."""
_HEAD, _LINE, _SIZE = 34, 16, 12
_TITLE = 20
_LINES = 10
_OPACITY = 0.55
_INKS = {"pass": "#4fbf7c", "warn": "#f0a630", "fail": "#ff6a5c"}


@dataclass(frozen=True, eq=False)
class Row:
    """One volume: a cut through it for each plane, the same planes in every row."""

    title: str
    cuts: Sequence[Cut]
    look: Look
    labels: Sequence[Cut] = ()
    """Label values to paint over the cuts; where there are any, a key takes the bar's place."""
    colours: Mapping[int, str] = field(default_factory=dict)
    """By label value."""
    names: Mapping[int, str] = field(default_factory=dict)
    """By label value."""


def case_sheet(
    rows: Sequence[Row], *, title: str, verdict: str = "", lines: Sequence[str] = ()
) -> bytes:
    """Draw a row of planes for each volume below a verdict and its reasons; return PNG bytes.

    All pictures have one scale in mm; those of a row show the same planes as the others'. Edges are
    lettered R, L, A and P. Raises ValueError where rows differ in size.
    """
    sizes = {tuple((each.width_mm, each.height_mm) for each in row.cuts) for row in rows}
    if len(sizes) != 1:
        raise ValueError("a sheet needs rows of the same planes")
    planes = next(iter(sizes))
    room = WIDTH - 2 * _EDGE - _KEY - len(planes) * _GAP
    tallest = max(height for _, height in planes)
    scale = min(room / sum(width for width, _ in planes), _TALLEST / tallest)
    said = _broken(lines)
    top = _HEAD + _LINE * len(said)
    each = _TITLE + max(1, round(scale * tallest)) + _GAP
    canvas = Canvas(WIDTH, top + each * len(rows) + _EDGE)
    canvas.text((_EDGE, 10), title, size=15, bold=True)
    if verdict:
        place = _EDGE + font(15, bold=True).getlength(title) + 14
        colour = _INKS.get(verdict, INK)
        canvas.text((place, 10), verdict.upper(), size=15, colour=colour, bold=True)
    for place, line in enumerate(said):
        canvas.text((_EDGE, _HEAD + _LINE * place), line, size=_SIZE, colour=INK)
    for place, row in enumerate(rows):
        _draw(canvas, row, top + each * place, scale, tallest)
    return canvas.png()


def _draw(canvas: Canvas, row: Row, top: int, scale: float, tallest: float) -> None:
    """Draw one row from a height on."""
    canvas.text((_EDGE, top + 3), row.title, size=_SIZE, colour=FAINT)
    left, top, height = _EDGE, top + _TITLE, max(1, round(scale * tallest))
    for place, cut in enumerate(row.cuts):
        wide, high = max(1, round(scale * cut.width_mm)), max(1, round(scale * cut.height_mm))
        pixels = coloured(cut.pixels, row.look)
        if row.labels:
            pixels = painted(pixels, row.labels[place].pixels, dict(row.colours), _OPACITY)
        low = top + (height - high) // 2
        canvas.picture(pixels, (left, low, left + wide, low + high))
        middle = top + height / 2
        canvas.text((left + 3, middle), cut.left, size=10, colour=FAINT, anchor="lm")
        canvas.text((left + wide - 3, middle), cut.right, size=10, colour=FAINT, anchor="rm")
        left += wide + _GAP
    if row.labels:
        _key(canvas, row, left, top, height)
        return
    ends = row.look.low, row.look.high
    slack = 0.03 * (ends[1] - ends[0])
    ticks = [float(value) for value in MaxNLocator(5).tick_values(*ends)]
    shown = [value for value in ticks if ends[0] + slack <= value <= ends[1] - slack]
    canvas.bar((left + 4, top + 18, left + 16, top + height), row.look, shown)
    for label in wrapped(row.look.label, _KEY - 4, 10)[:1]:
        canvas.text((left + 4, top), label, size=10, colour=INK)


def _key(canvas: Canvas, row: Row, left: int, top: int, height: int) -> None:
    """Name the labels that are seen, as many as there is room for."""
    seen = np.unique(np.concatenate([np.unique(cut.pixels) for cut in row.labels]))
    present = [value for value in row.colours if value in seen]
    fits = max(1, height // _LINE)
    for place, value in enumerate(present):
        y = top + _LINE * place
        if place == fits - 1 and len(present) > fits:
            canvas.text((left + 4, y), f"and {len(present) - place} more", size=10)
            return
        canvas.box(left + 4, y + 2, left + 12, y + 10, row.colours[value])
        first, *more = wrapped(row.names.get(value, "") or str(value), _KEY - 26, 10)
        canvas.text((left + 17, y), f"{first}…" if more else first, size=10)
    if not present:
        canvas.text((left + 4, top), "no label here", size=10, colour=FAINT)


def _broken(lines: Sequence[str]) -> list[str]:
    """Break lines to the sheet's width, and leave out what would be too much to look at."""
    said = [part for line in lines for part in wrapped(line, WIDTH - 2 * _EDGE, _SIZE)]
    if len(said) <= _LINES:
        return said
    return [*said[: _LINES - 1], f"and {len(said) - _LINES + 1} more lines: see the sidecar"]
