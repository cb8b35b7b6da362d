"""How the choice of weights went: what it saw of each validation, and what it could not know."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path

from adaptation_results import DICE, TRUTH, Runs, chosen, penalised

from medgen.files import write_bytes
from medgen.report.style import BLUE, FAINT, INK, ORANGE, plot_figure

LINES = {DICE: (FAINT, "source Dice (validation)"), TRUTH: (ORANGE, "target Dice (test)")}
MARKS = {"source Dice": "s", "penalised": "o", "last": "x", "oracle": "*"}


def draw_curves(
    runs: Runs, titles: Mapping[str, str], penalties: Mapping[str, float], path: Path
) -> None:
    """Draw every run's validations as PNG: a row for each row of the table, a column per seed."""
    seeds = sorted({seed for mine in runs.values() for seed in mine})
    size = 3.4 * len(seeds), 2.7 * len(runs)
    with plot_figure(*size, rows=len(runs), columns=len(seeds)) as (figure, axes):
        places = [(name, seed) for name in runs for seed in seeds]
        for axis, (name, seed) in zip(axes, places, strict=True):
            axis.set_title(f"{titles[name]}, seed {seed}", fontsize=8)
            points = runs[name][seed]["curve"] if seed in runs[name] else []
            steps = [point["step"] for point in points]
            for score, (colour, label) in LINES.items():
                axis.plot(
                    steps, [p.get(score, math.nan) for p in points], color=colour, label=label
                )
            known = [p for p in points if all(figure in p for figure in penalties)]
            if known and penalties:
                values = [penalised(point, penalties) for point in known]
                label = "source Dice, penalised"
                axis.plot([p["step"] for p in known], values, color=BLUE, label=label)
            scored = [point for point in points if TRUTH in point]
            for way, point in chosen(scored, penalties).items() if scored else ():
                where = [point["step"]], [point[TRUTH]]
                axis.plot(*where, MARKS[way], color=INK, fillstyle="none", label=f"by {way}")
            axis.set_xlabel("step")
            axis.set_ylim(-0.05, 1.0)
        axes[0].legend(fontsize=6)
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
    write_bytes(path, stream.getvalue())
