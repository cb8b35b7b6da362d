"""A dark sheet of pictures with colour bars, as a reading room shows them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from medgen.report.slices import Cut

BACKGROUND = "#101418"
INK = "#e8ecef"
FAINT = "#8d99a5"
OUTLINE = "#ffd24d"


@dataclass(frozen=True)
class Look:
    """How a panel's values become colours; `exact` ones are never blended on a coarser screen."""

    low: float
    high: float
    colours: Colormap
    label: str
    exact: bool = False


class Sheet:
    """A dark sheet of pictures, equally scaled in mm, with a colour bar below each column.

    Everything is placed in inches on one set of axes, which is several times faster than axes
    for every picture.
    """

    TOP, TITLE, BAR, BOTTOM, SIDE, GAP = 0.36, 0.28, 0.12, 0.5, 0.1, 0.08
    _LINE, _LETTER = 0.15, 0.062  # inches: a line of a key, and a letter of it

    def __init__(self, cuts: Sequence[Sequence[Cut]], inches: float, title: str) -> None:
        self._cuts = cuts
        self._inches = inches
        self._scale = inches / max(row[0].width_mm for row in cuts)
        heights = [row[0].height_mm * self._scale for row in cuts]
        top = self.TOP + (self.TITLE if title else 0.0)
        width = 2 * self.SIDE + len(cuts[0]) * (inches + self.GAP) - self.GAP
        height = top + sum(heights) + len(cuts) * self.GAP + self.BAR + self.BOTTOM
        self._tops = [height - top - sum(heights[:i]) - i * self.GAP for i in range(len(cuts))]
        self._heads = height - top + 0.1
        self.figure = Figure(figsize=(width, height), facecolor=BACKGROUND, dpi=110)
        FigureCanvasAgg(self.figure)
        self._axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self._axes.set_axis_off()
        self._axes.set_autoscale_on(False)
        self._axes.set_xlim(0, width)
        self._axes.set_ylim(0, height)
        if title:
            self._text(self.SIDE, height - 0.12, title, 11, ha="left", va="top")

    def head(self, column: int, title: str) -> None:
        """Write a column's title."""
        self._text(self._middle(column), self._heads, title, 10, va="bottom")

    def picture(
        self,
        row: int,
        column: int,
        look: Look,
        inside: NDArray[np.bool_] | None,
        *,
        hide: bool,
    ) -> None:
        """Draw a cut with its edge letters; outline the mask, or hide what lies outside it."""
        found = self._cuts[row][column]
        pixels = np.asarray(found.pixels, dtype=np.float64)
        if hide and inside is not None:
            pixels = np.where(inside, pixels, 0.0)
        left, right, bottom, top = self._place(row, column)
        self._image(pixels, look, (left, right, bottom, top))
        if inside is not None and not hide and inside.any() and not inside.all():
            self.contour(row, column, inside.astype(float), 0.5, colour=OUTLINE)
        middle = (top + bottom) / 2
        self._text(left + 0.03, middle, found.left, 7, ha="left", va="center", color=FAINT)
        self._text(right - 0.03, middle, found.right, 7, ha="right", va="center", color=FAINT)

    def contour(
        self,
        row: int,
        column: int,
        field: NDArray[Any],
        level: float,
        *,
        colour: str,
        width: float = 0.5,
    ) -> None:
        """Draw where a field (rows down, columns right) of the picture's size passes a level."""
        if not np.nanmin(field) < level < np.nanmax(field):
            return
        left, right, bottom, top = self._place(row, column)
        rows, columns = field.shape
        x = left + (np.arange(columns) + 0.5) * (right - left) / columns
        y = top - (np.arange(rows) + 0.5) * (top - bottom) / rows
        self._axes.contour(x, y, field, [level], colors=colour, linewidths=width, alpha=0.7)

    def legend(self, parts: Sequence[tuple[str, str]]) -> None:
        """Write one line below the pictures, in place of colour bars: texts and their colours."""
        place = self.SIDE
        for text, colour in parts:
            self._text(place, self.BOTTOM - 0.05, text, 8, ha="left", va="top", color=colour)
            place += 0.068 * len(text) + 0.25

    def key(self, column: int, entries: Sequence[tuple[str, str]]) -> None:
        """Write names with their colours below one column, as many as there is room for."""
        left = self._middle(column) - self._inches / 2
        x, y = left, self.BOTTOM + self.BAR - self._LINE / 2
        for place, (name, colour) in enumerate(entries):
            width = 0.26 + self._LETTER * len(name)
            if x > left and x + width > left + self._inches:
                x, y = left, y - self._LINE
            if y < self._LINE:
                self._text(x, y, f"and {len(entries) - place} more", 7, ha="left", va="center")
                return
            self._axes.plot([x + 0.05], [y], "s", color=colour, ms=5)
            self._text(x + 0.14, y, name, 7, ha="left", va="center")
            x += width

    def bar(self, column: int, look: Look) -> None:
        """Draw a column's colour bar with its unit."""
        left = self._middle(column) - self._inches / 2
        bottom, right = self.BOTTOM, left + self._inches
        gradient = np.linspace(look.low, look.high, 256)[None]
        self._image(gradient, look, (left, right, bottom, bottom + self.BAR))
        edge = [left, right, right, left, left], [bottom, bottom, *[bottom + self.BAR] * 2, bottom]
        self._axes.plot(*edge, color=FAINT, lw=0.6)
        for value in MaxNLocator(5, integer=look.exact).tick_values(look.low, look.high):
            share = (value - look.low) / (look.high - look.low)
            if 0.06 <= share <= 0.94:
                place = left + share * self._inches
                self._axes.plot([place] * 2, [bottom - 0.03, bottom], color=INK, lw=0.6)
                label = f"{value:.6g}".replace("-", "−")
                self._text(place, bottom - 0.05, label, 7, va="top")
        self._text(self._middle(column), bottom - 0.19, look.label, 8, va="top")

    def _place(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Return a picture's left, right, bottom and top in inches."""
        found = self._cuts[row][column]
        width, height = found.width_mm * self._scale, found.height_mm * self._scale
        left, top = self._middle(column) - width / 2, self._tops[row]
        return left, left + width, top - height, top

    def _middle(self, column: int) -> float:
        return self.SIDE + column * (self._inches + self.GAP) + self._inches / 2

    def _image(
        self, pixels: NDArray[Any], look: Look, extent: tuple[float, float, float, float]
    ) -> None:
        self._axes.imshow(
            pixels,
            look.colours,
            vmin=look.low,
            vmax=look.high,
            extent=extent,
            aspect="auto",
            interpolation="nearest" if look.exact else None,
        )

    def _text(self, x: float, y: float, text: str, size: float, **style: str) -> None:
        style = {"ha": "center", "color": INK} | style
        self._axes.text(x, y, text, fontsize=size, parse_math=False, **cast(Any, style))


def to_png(figure: Figure) -> bytes:
    """Return a figure as PNG bytes that depend on nothing but the picture."""
    stream = io.BytesIO()
    figure.savefig(
        stream, format="png", facecolor=figure.get_facecolor(), metadata={"Software": None}
    )
    return stream.getvalue()
