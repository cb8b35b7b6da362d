"""Plots of voxel errors: their distribution, their dependence on tissue, their agreement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from medgen.report.sheet import to_png
from medgen.report.style import BLUE, FAINT, ORANGE, plot_figure

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Voxel errors of all cases, each case weighing the same.

    `density` (values, errors) is the share of voxels by the mean of prediction and reference
    and by their difference; `centres` and `biases` are each case's mean value and mean error.
    """

    value_edges: Floats
    error_edges: Floats
    density: Floats
    bias: float
    sd: float
    centres: Sequence[float]
    biases: Sequence[float]
    unit: str


@dataclass(frozen=True)
class ByValue:
    """Errors by the reference's value: mean absolute, signed, and the share of voxels, per bin."""

    edges: Floats
    absolute: Floats
    signed: Floats
    share: Floats
    unit: str


def error_histogram(errors: Agreement) -> bytes:
    """Draw the distribution of voxel errors, mean over the cases."""
    share = 100 * errors.density.sum(axis=0)
    with plot_figure(4.7, 3.1) as (figure, (axes,)):
        axes.stairs(share, errors.error_edges, fill=True, color=BLUE, alpha=0.75)
        # Limits first: one bin may hold everything, as where two volumes are equal.
        floor = max(1e-5, float(share[share > 0].min(initial=1.0)) / 2)
        axes.set_ylim(floor, 2 * float(share.max(initial=1e-3)))
        axes.set_yscale("log")
        axes.set_xlim(_occupied(errors.error_edges, share, 1e-5))
        axes.axvline(0, color=FAINT, lw=0.8)
        axes.axvline(errors.bias, color=ORANGE, lw=1.4, label=f"mean {errors.bias:+.3g}")
        axes.set_xlabel(f"prediction − reference [{errors.unit}]")
        axes.set_ylabel("voxels per bin [%]")
        axes.legend(loc="upper right")
        axes.set_title("Distribution of voxel errors")
        return to_png(figure)


def errors_by_value(errors: ByValue) -> bytes:
    """Draw mean absolute and signed error over the reference's value."""
    middle = (errors.edges[1:] + errors.edges[:-1]) / 2
    known = errors.share > 1e-6
    with plot_figure(4.7, 3.1) as (figure, (axes,)):
        behind = axes.twinx()
        behind.stairs(100 * errors.share, errors.edges, fill=True, color=FAINT, alpha=0.25)
        behind.set_yticks([])
        behind.spines["left"].set_visible(False)
        axes.set_zorder(behind.get_zorder() + 1)
        axes.patch.set_visible(False)
        axes.axhline(0, color=FAINT, lw=0.8)
        axes.plot(middle[known], errors.absolute[known], color=BLUE, lw=1.6, label="mean |error|")
        axes.plot(middle[known], errors.signed[known], color=ORANGE, lw=1.6, label="mean error")
        axes.set_xlim(_occupied(errors.edges, errors.share, 1e-5))
        axes.set_xlabel(f"reference [{errors.unit}]; grey: share of voxels")
        axes.set_ylabel(f"error [{errors.unit}]")
        axes.legend(loc="best")
        axes.set_title("Error by tissue value")
        return to_png(figure)


def bland_altman(errors: Agreement) -> bytes:
    """Draw agreement voxel by voxel (density) and case by case (points), with its limits."""
    with plot_figure(9.6, 3.5, 1, 2) as (figure, (voxels, cases)):
        _density(figure, voxels, errors)
        _limits(voxels, errors.bias, errors.sd, errors.unit)
        voxels.set_title("Voxels: all cases, each weighing the same")
        centres, biases = np.asarray(errors.centres), np.asarray(errors.biases)
        cases.plot(centres, biases, "o", color=BLUE, ms=5, alpha=0.8, mec="white", mew=0.5)
        if biases.size > 1:
            _limits(cases, float(biases.mean()), float(biases.std(ddof=1)), errors.unit)
        cases.set_title("Cases: mean value and mean error")
        cases.margins(x=0.12, y=0.25)
        for axes in (voxels, cases):
            axes.set_xlabel(f"mean of prediction and reference [{errors.unit}]")
            axes.set_ylabel(f"prediction − reference [{errors.unit}]")
        return to_png(figure)


def _occupied(edges: Floats, share: Floats, least: float = 1e-6) -> tuple[float, float]:
    """Return the range of the bins that hold more than a trace, one bin wider on each side."""
    places = np.flatnonzero(share > least * float(share.max(initial=0.0)))
    if not places.size:
        return float(edges[0]), float(edges[-1])
    first, last = max(0, int(places[0]) - 1), min(len(share) - 1, int(places[-1]) + 1)
    return float(edges[first]), float(edges[last + 1])


def _density(figure: Figure, axes: Axes, errors: Agreement) -> None:
    share = 100 * errors.density.T
    top = max(float(share.max(initial=0.0)), 1e-6)
    picture = axes.pcolormesh(
        errors.value_edges,
        errors.error_edges,
        np.ma.masked_less_equal(share, top * 1e-5),
        norm=LogNorm(top * 1e-5, top),
        cmap="Blues",
        rasterized=True,
    )
    axes.set_xlim(_occupied(errors.value_edges, share.sum(axis=0), 1e-5))
    low, high = _occupied(errors.error_edges, share.sum(axis=1), 1e-4)
    axes.set_ylim(-max(-low, high), max(-low, high))
    bar = figure.colorbar(picture, ax=axes, pad=0.02)
    bar.set_label("voxels per cell [%]", fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _limits(axes: Axes, mean: float, sd: float, unit: str) -> None:
    """Draw the mean difference and its limits of agreement, mean +- 1.96 sd."""
    axes.axhline(0, color=FAINT, lw=0.8)
    axes.axhline(mean, color=ORANGE, lw=1.4)
    for sign in (-1.96, 1.96):
        axes.axhline(mean + sign * sd, color=ORANGE, lw=1.1, ls=(0, (5, 3)))
    text = f"mean {mean:+.3g} {unit}\nlimits {mean - 1.96 * sd:+.3g} to {mean + 1.96 * sd:+.3g}"
    box = {"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1.5}
    style: Any = {"fontsize": 8, "color": ORANGE, "bbox": box, "ha": "right", "va": "top"}
    axes.text(0.985, 0.975, text, transform=axes.transAxes, **style)
