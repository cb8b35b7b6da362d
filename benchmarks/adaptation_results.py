"""What `adaptation.py` found, as tables: scores, recovered gaps, and chosen weights.

Of the gap between the better source-only row and the row trained on the target's labels, a row
recovers (its Dice - the source-only's) / (the upper bound's - the source-only's), on the target.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from medgen.evaluation.statistics import interval

Run = Mapping[str, Any]
"""`target` and `source`: case -> score -> value on test patients; `curve`: points; `seconds`."""
Runs = Mapping[str, Mapping[int, Run]]
"""By row, then by seed."""
Point = Mapping[str, float]
"""One validation: `step`, the means of its scores and figures, `target_dice` on test patients."""

DICE, F1 = "dice", "lesion_f1"
FIGURE = "diagnose."
"""What the names of a method's own figures begin with."""
TRUTH = "target_dice"
SIDES = ("target", "source")
CHOICES = ("source Dice", "penalised", "last", "oracle")


def points_of(*logs: str) -> list[dict[str, float]]:
    """Return the validations of a run from its logs: the step, the mean Dice, and all figures.

    Blank cells and NaN do not count; a column that has nothing else is left out of the point.
    """
    gathered: dict[int, dict[str, list[float]]] = {}
    for row in (row for text in logs for row in csv.DictReader(io.StringIO(text))):
        mine = gathered.setdefault(int(row["step"]), {})
        for name, cell in row.items():
            wanted = name == DICE or name.startswith(FIGURE)
            if wanted and cell and not math.isnan(float(cell)):
                mine.setdefault(name, []).append(float(cell))
    return [
        {"step": float(step), **{name: statistics.fmean(each) for name, each in found.items()}}
        for step, found in sorted(gathered.items())
    ]


def penalised(point: Point, penalties: Mapping[str, float]) -> float:
    """Return a validation's Dice less each figure times its penalty; what finds nothing is last."""
    if point[DICE] <= 0:
        return -math.inf
    return point[DICE] - sum(weight * point[name] for name, weight in penalties.items())


def chosen(points: Sequence[Point], penalties: Mapping[str, float]) -> dict[str, Point]:
    """Return the point that each way of choosing weights takes; of equal ones the first.

    The oracle knows the truth of the target, which nobody has who needs adaptation.
    """
    ways: dict[str, Callable[[Point], float]] = {
        "source Dice": lambda point: point[DICE],
        "last": lambda point: point["step"],
        "oracle": lambda point: point[TRUTH],
    }
    if all(name in point for name in penalties for point in points):
        ways["penalised"] = lambda point: penalised(point, penalties)
    return {name: max(points, key=ways[name]) for name in CHOICES if name in ways}


def recovered(mine: float, source_only: float, upper_bound: float) -> float:
    """Return the share of the gap that was recovered; NaN where there is no gap."""
    gap = upper_bound - source_only
    return (mine - source_only) / gap if gap > 0 else math.nan


def better(runs: Runs, names: Sequence[str]) -> str | None:
    """Return the row of the higher target Dice over the seeds, if any of them was run."""
    known = [name for name in names if runs.get(name)]
    return max(known, key=lambda name: statistics.fmean(of_seeds(runs[name])), default=None)


def of_seeds(mine: Mapping[int, Run], side: str = "target", score: str = DICE) -> list[float]:
    """Return the mean over test patients of each seed's run."""
    return [mean_of(run, side, score) for _, run in sorted(mine.items())]


def mean_of(run: Run, side: str, score: str) -> float:
    """Return the mean of a score over the test patients of a side who have it."""
    return statistics.fmean(scores[score] for scores in run[side].values() if score in scores)


def score_table(
    runs: Runs, titles: Mapping[str, str], source_only: Sequence[str], upper_bound: str
) -> Iterator[str]:
    """Yield each row's scores on both sites, its recovered share, and what it costs the source."""
    base = better(runs, source_only)
    columns = ["target Dice", "target F1", "source Dice", "source F1"]
    columns += ["gap recovered", "source Dice less source-only's", "seeds", "minutes"]
    yield f"| mean, sd over seeds | {' | '.join(columns)} |"
    yield "|---|" + "---:|" * len(columns)
    for name, title in titles.items():
        mine = runs.get(name, {})
        if not mine:
            continue
        cells = [spread(of_seeds(mine, side, score)) for side in SIDES for score in (DICE, F1)]
        cells.append(spread(shares(runs, name, base, upper_bound), digits=2))
        cells.append(spread(changes(runs, name, base), sign="+"))
        minutes = statistics.fmean(run["seconds"] for run in mine.values()) / 60
        yield f"| {title} | {' | '.join([*cells, str(len(mine)), f'{minutes:.1f}'])} |"
    if base is not None:
        yield f"\nThe better source-only row: {titles[base]}."


def shares(runs: Runs, name: str, base: str | None, upper_bound: str) -> list[float]:
    """Return the share of the gap that each seed's run recovered."""
    floor, ceiling = runs.get(base or "", {}), runs.get(upper_bound, {})
    return [
        recovered(*(mean_of(each[seed], "target", DICE) for each in (runs[name], floor, ceiling)))
        for seed in sorted(runs[name])
        if seed in floor and seed in ceiling and name not in (base, upper_bound)
    ]


def changes(runs: Runs, name: str, base: str | None) -> list[float]:
    """Return by how much each seed's source Dice differs from the source-only row's."""
    floor = runs.get(base or "", {})
    return [
        mean_of(runs[name][seed], "source", DICE) - mean_of(floor[seed], "source", DICE)
        for seed in sorted(runs[name])
        if seed in floor and name != base
    ]


def seed_table(
    runs: Runs, titles: Mapping[str, str], source_only: Sequence[str], upper_bound: str
) -> Iterator[str]:
    """Yield each seed's target Dice and, where it is defined, the share of the gap in brackets."""
    base = better(runs, source_only)
    seeds = sorted({seed for mine in runs.values() for seed in mine})
    yield f"\n| target Dice (gap recovered) | {' | '.join(f'seed {seed}' for seed in seeds)} |"
    yield "|---|" + "---:|" * len(seeds)
    for name, title in titles.items():
        mine = runs.get(name, {})
        cells = []
        for seed in seeds:
            if seed not in mine:
                cells.append("-")
                continue
            found = shares({**runs, name: {seed: mine[seed]}}, name, base, upper_bound)
            known = [f" ({share:.2f})" for share in found if not math.isnan(share)]
            cells.append("".join([f"{mean_of(mine[seed], 'target', DICE):.3f}", *known]))
        if mine:
            yield f"| {title} | {' | '.join(cells)} |"


def difference(runs: Runs, name: str, base: str) -> str:
    """Return a row's target Dice less another's, mean over seeds, with its bootstrap interval."""
    seeds = sorted(runs[name].keys() & runs[base].keys())
    cases = [case for case, scores in runs[name][seeds[0]]["target"].items() if DICE in scores]
    gaps = [
        statistics.fmean(
            runs[name][seed]["target"][case][DICE] - runs[base][seed]["target"][case][DICE]
            for seed in seeds
        )
        for case in cases
    ]
    low, high = interval(gaps, cases)
    return f"{statistics.fmean(gaps):+.3f} ({low:+.3f} to {high:+.3f})"


def choice_table(
    runs: Runs, titles: Mapping[str, str], penalties: Mapping[str, float]
) -> Iterator[str]:
    """Yield, of runs whose every validation was scored on the target, what each choice came to."""
    yield "\n| target Dice, its step, less the oracle's | " + " | ".join(CHOICES) + " |"
    yield "|---|" + "---:|" * len(CHOICES)
    for name, title in titles.items():
        every = []
        for seed, run in sorted(runs.get(name, {}).items()):
            points = [point for point in run["curve"] if TRUTH in point]
            if not points:
                continue
            picked = chosen(points, penalties)
            every.append(picked)
            cells = [_picked(picked, way) for way in CHOICES]
            yield f"| {title}, seed {seed} | {' | '.join(cells)} |"
        if every:
            cells = [_mean_picked(every, way) for way in CHOICES]
            yield f"| {title}, mean | {' | '.join(cells)} |"


def _picked(picked: Mapping[str, Point], way: str) -> str:
    if way not in picked:
        return "-"
    point, best = picked[way], picked["oracle"]
    return f"{point[TRUTH]:.3f} @ {point['step']:.0f} ({point[TRUTH] - best[TRUTH]:+.3f})"


def _mean_picked(every: Sequence[Mapping[str, Point]], way: str) -> str:
    if not all(way in picked for picked in every):
        return "-"
    mine = statistics.fmean(picked[way][TRUTH] for picked in every)
    best = statistics.fmean(picked["oracle"][TRUTH] for picked in every)
    return f"{mine:.3f} ({mine - best:+.3f})"


def curve_table(runs: Runs, penalties: Mapping[str, float]) -> str:
    """Return every validation of every run as tab-separated text."""
    figures = sorted(
        {
            name
            for mine in runs.values()
            for run in mine.values()
            for point in run["curve"]
            for name in point
            if name.startswith(FIGURE)
        }
    )
    columns = ["step", DICE, *figures, "penalised", TRUTH]
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["row", "seed", *columns])
    for name, mine in runs.items():
        for seed, run in sorted(mine.items()):
            for point in run["curve"]:
                known = {**point}
                if all(figure in point for figure in penalties):
                    known["penalised"] = penalised(point, penalties)
                cells = [f"{known[c]:.4g}" if c in known else "" for c in columns]
                writer.writerow([name, seed, *cells])
    return text.getvalue()


def spread(values: Sequence[float], *, digits: int = 3, sign: str = "") -> str:
    """Return the mean and, of several values, their standard deviation; a dash where none is."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "-"
    text = f"{statistics.fmean(known):{sign}.{digits}f}"
    return text if len(known) < 2 else f"{text} ± {statistics.stdev(known):.{digits}f}"
