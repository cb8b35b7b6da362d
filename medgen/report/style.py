"""The house's look of plots: quiet axes, few colours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLUE, ORANGE, INK, FAINT = "#1f6fb2", "#c8501e", "#22303c", "#8a97a3"
_STYLE: Any = {
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.formatter.use_mathtext": True,
    "font.size": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


@contextmanager
def plot_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, *, strips: bool = False
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Make a figure of the house's style, in inches; axes come row by row.

    Strips need no room for a vertical axis: a fixed layout is much faster than a constrained one.
    """
    with mpl.rc_context(_STYLE):
        layout: Any = None if strips else "constrained"
        figure = Figure(figsize=(width, height), dpi=120, layout=layout, facecolor="white")
        FigureCanvasAgg(figure)
        grid = figure.subplots(rows, columns, squeeze=False)
        if strips:
            each = height / rows
            figure.subplots_adjust(
                left=0.015,
                right=0.985,
                bottom=0.42 / height,
                top=1 - 0.27 / height,
                wspace=0.06,
                hspace=0.72 / (each - 0.7),
            )
        yield figure, list(grid.ravel())
