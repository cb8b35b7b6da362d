"""Curves of how well numbers tell positives from negatives, and the numbers themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from medgen.metrics.anomaly import Ranking
from medgen.report.sheet import to_png
from medgen.report.style import BLUE, FAINT, INK, ORANGE, plot_figure

Floats = NDArray[np.float64]
POINTS = 600
"""Of a curve, at most: voxels have millions."""
BINS = 24
_OF_SIDES = {"healthy": (BLUE, -0.06), "anomalous": (ORANGE, -0.13)}


def ranking_figure(ranking: Ranking, noun: str) -> bytes:
    """Draw the ROC and the precision-recall curve of cases or voxels, and what chance would do."""
    with plot_figure(9.6, 3.7, 1, 2) as (figure, (roc, precision)):
        if ranking.negatives:
            roc.plot(*roc_points(ranking), color=BLUE, lw=1.6, label=f"AUROC {ranking.auroc:.3f}")
        roc.plot([0, 1], [0, 1], color=FAINT, lw=0.9, ls=(0, (5, 3)), label="chance 0.5")
        roc.set_xlabel("false-positive rate")
        roc.set_ylabel("true-positive rate")
        roc.set_title(f"ROC curve, {noun}")
        recall, share = precision_points(ranking)
        label = f"average precision {ranking.average_precision:.3f}"
        precision.step(recall, share, where="pre", color=BLUE, lw=1.6, label=label)
        chance = ranking.chance
        precision.axhline(chance, color=FAINT, lw=0.9, ls=(0, (5, 3)), label=f"chance {chance:.3g}")
        precision.set_xlabel("recall")
        precision.set_ylabel("precision")
        precision.set_title(f"Precision-recall curve, {noun}")
        for axes in (roc, precision):
            axes.set_xlim(-0.01, 1.01)
            axes.set_ylim(-0.01, 1.03)
            axes.legend(loc="best")
        return to_png(figure)


def roc_points(ranking: Ranking) -> tuple[Floats, Floats]:
    """Return false- and true-positive rates (N,) along the curve, ends included.

    Each of the positives' numbers has two points, before and after it: ties are a slope between.
    """
    kept = _thinned(len(ranking.hits))
    before = np.concatenate([[0], ranking.hits[:-1]])[kept]
    false = np.stack([ranking.above[kept], ranking.alarms[kept]], axis=1).ravel()
    true = np.stack([before, ranking.hits[kept]], axis=1).ravel()
    return (
        np.concatenate([[0.0], false / ranking.negatives, [1.0]]),
        np.concatenate([[0.0], true / ranking.positives, [1.0]]),
    )


def precision_points(ranking: Ranking) -> tuple[Floats, Floats]:
    """Return recall and precision (N,): each precision holds from the recall before to its own."""
    kept = _thinned(len(ranking.hits))
    recall = ranking.hits[kept] / ranking.positives
    precision = ranking.hits[kept] / (ranking.hits[kept] + ranking.alarms[kept])
    return np.concatenate([[0.0], recall]), np.concatenate([precision[:1], precision])


def score_figure(
    scores: Mapping[str, Sequence[float]], thresholds: Sequence[float], name: str
) -> bytes:
    """Draw the case scores of the "healthy" and the "anomalous", with the calibrated thresholds."""
    everything = np.concatenate([np.asarray(list(side), np.float64) for side in scores.values()])
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    with plot_figure(9.6, 3.1) as (figure, (axes,)):
        for side, values in scores.items():
            colour, _ = _OF_SIDES[side]
            counts, _ = np.histogram(values, edges)
            label = f"{side} ({len(values)})"
            axes.stairs(counts, edges, fill=True, color=colour, alpha=0.45, label=label)
        top = axes.get_ylim()[1]
        _rug(axes, scores, top)
        for place, threshold in enumerate(thresholds):
            said = "_" if place else "calibrated threshold"  # named once
            axes.axvline(threshold, color=INK, lw=1.3, ls=(0, (5, 3)), label=said)
        axes.set_ylim(-0.19 * top, 1.05 * top)
        axes.set_xlabel(name)
        axes.set_ylabel("cases")
        axes.set_title("Case scores")
        axes.legend(loc="upper right")
        return to_png(figure)


def _rug(axes: Axes, scores: Mapping[str, Sequence[float]], top: float) -> None:
    """Draw each case as a stroke below the bars."""
    axes.axhline(0, color=FAINT, lw=0.8)
    for side, values in scores.items():
        colour, height = _OF_SIDES[side]
        axes.plot(values, [height * top] * len(values), "|", color=colour, ms=8, alpha=0.8)
    most = int(top)
    axes.set_yticks(np.unique(np.linspace(0, most, min(most, 4) + 1).round()))


def _thinned(count: int) -> NDArray[np.int_]:
    """Return at most `POINTS` places of a curve, its ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(np.int_))
