"""One row of points per score: every case visible, with quartiles and the mean's interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from medgen.report.sheet import to_png
from medgen.report.style import BLUE, FAINT, INK, ORANGE, plot_figure


@dataclass(frozen=True)
class Strip:
    """One score of every case: `values` in the order of the cases, finite ones are drawn."""

    name: str
    unit: str
    values: Sequence[float]
    interval: tuple[float, float]


def strips(scores: Sequence[Strip]) -> bytes:
    """Draw each score's cases as points over a box (quartiles) with the mean's interval."""
    columns = min(3, len(scores))
    rows = -(-len(scores) // columns)
    with plot_figure(9.6, 1.3 * rows, rows, columns, strips=True) as (figure, axes):
        for place, score in zip(axes, scores, strict=False):
            _strip(place, score)
            if score.unit:
                place.set_xlabel(score.unit, labelpad=1)
        for place in axes[len(scores) :]:
            place.set_axis_off()
        return to_png(figure)


def paired(scores: Sequence[Strip], verdicts: Mapping[str, str]) -> bytes:
    """Draw each score's paired differences (second - first) around zero; `verdicts` by name."""
    columns = min(3, len(scores))
    rows = -(-len(scores) // columns)
    with plot_figure(9.6, 1.45 * rows, rows, columns, strips=True) as (figure, axes):
        for place, score in zip(axes, scores, strict=False):
            place.axvline(0, color=FAINT, lw=1.0, zorder=0)
            _strip(place, score)
            place.set_xlabel(f"{verdicts.get(score.name, '')}", labelpad=1)
        for place in axes[len(scores) :]:
            place.set_axis_off()
        return to_png(figure)


def _strip(axes: Axes, score: Strip) -> None:
    values = np.asarray([value for value in score.values if np.isfinite(value)])
    axes.set_title(score.name)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_ylim(-1.1, 1.0)
    if not values.size:
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", color=FAINT)
        return
    axes.xaxis.set_major_locator(MaxNLocator(4))
    first, median, third = np.percentile(values, (25, 50, 75))
    if values.size >= 4:
        axes.fill_betweenx([-0.45, 0.45], first, third, color=BLUE, alpha=0.15, lw=0)
        axes.plot([median, median], [-0.45, 0.45], color=BLUE, lw=1.5)
    # points are spread by rank, not at random, so that a figure is reproducible
    offsets = 0.35 * np.sin(2.399963 * np.arange(values.size))
    axes.plot(np.sort(values), offsets, "o", color=INK, ms=3.6, alpha=0.65, mec="none")
    low, high = score.interval
    if np.isfinite(low):
        axes.plot([low, high], [-0.8, -0.8], color=ORANGE, lw=2.2, solid_capstyle="butt")
        axes.plot([values.mean()], [-0.8], "D", color=ORANGE, ms=4.5, mec="white", mew=0.6)
