"""What ways to score anomalies came to, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from anomaly_runs import HEALTHY, WAYS, Found, Runs

Value = float | None


def by_group(runs: Runs, groups: Sequence[str]) -> Iterator[str]:
    """Yield the case AUROC, then the voxels' average precision, of every way by group.

    Means over seeds, with the lowest and the highest where there are several.
    """
    yield "Case AUROC against all healthy test cases:"
    yield ""
    yield heading(["way", "seeds", *groups, "pairs", "s per volume", "training, min"])
    for name, mine in runs.items():
        cells = [
            over_seeds([of_group(run, group)["cases"]["auroc"]["value"] for run in mine.values()])
            for group in groups
        ]
        pairs = [
            sum(pair[place] for run in mine.values() for pair in run["paired"].values())
            for place in (0, 1)
        ]
        times = [seconds(mine), minutes(mine)]
        yield row([WAYS[name].title, str(len(mine)), *cells, f"{pairs[0]} of {pairs[1]}", *times])
    yield ""
    yield "Voxel average precision, mean over the cases of the group (last row: of noise):"
    yield ""
    yield heading(["way", *groups, "Dice at the threshold", "best Dice (oracle)", "healthy: ml"])
    chance: list[str] = []
    for name, mine in runs.items():
        cells = [
            over_seeds(
                [mean_of(of_group(run, g), "voxel_average_precision") for run in mine.values()]
            )
            for g in groups
        ]
        every = [run["summary"]["voxels"]["mean_over_anomalous"] for run in mine.values()]
        cells += [
            over_seeds([one[score]["mean"] for one in every]) for score in ("dice", "oracle_dice")
        ]
        cells.append(over_seeds([false_ml(run) for run in mine.values()], ".1f"))
        yield row([WAYS[name].title, *cells])
        first = next(iter(mine.values()))
        chance = [number(mean_of(of_group(first, group), "prevalence"), ".4f") for group in groups]
    yield row(["chance", *chance, "", "", ""])


def by_seed(runs: Runs, group: str) -> Iterator[str]:
    """Yield every seed's figures of one group against its healthy twins, with intervals."""
    yield heading(
        [
            "way, seed",
            "case AUROC [95 %]",
            "case AUPRC [95 %]",
            "chance",
            "pairs",
            "voxel AP",
            "chance",
            "pooled AP",
            "Dice at the threshold",
            "best Dice (oracle)",
            "healthy: ml",
            "s per volume",
            "training, min",
        ]
    )
    for title, run in of_all(runs):
        found = of_group(run, group)
        cases, higher = found["cases"], run["paired"].get(group, [0, 0])
        cells = [interval(cases["auroc"]), interval(cases["average_precision"])]
        cells += [number(cases["average_precision"]["chance"]), f"{higher[0]} of {higher[1]}"]
        cells += [number(mean_of(found, "voxel_average_precision"), ".3f")]
        cells += [number(mean_of(found, "prevalence"), ".3f")]
        cells += [number(found["pooled"]["average_precision"], ".3f")]
        cells += [number(mean_of(found, score)) for score in ("dice", "oracle_dice")]
        cells += [number(false_ml(run), ".1f"), seconds({0: run}), minutes({0: run})]
        yield row([title, *cells])


def by_case(runs: Runs, cases: Sequence[str]) -> Iterator[str]:
    """Yield every seed's figures of single cases."""
    words = ("p", "voxel AP (chance)", "voxel AUROC", "Dice", "best Dice", "ml marked")
    yield heading(["way, seed", *(f"{case}: {word}" for case in cases for word in words)])
    for title, run in of_all(runs):
        cells = []
        for case in cases:
            mine = run["cases"][case]
            chance = number(mine.get("prevalence"), ".3f")
            cells.append(number(mine.get("p")))
            cells.append(f"{number(mine.get('voxel_average_precision'), '.3f')} ({chance})")
            cells += [number(mine.get(k)) for k in ("voxel_auroc", "dice", "oracle_dice")]
            cells.append(number(mine.get("mask_ml"), ".1f"))
        yield row([title, *cells])


def by_load(runs: Runs, group: str) -> Iterator[str]:
    """Yield, for every case of a group by its load, each way's score over its twin's, and its AP.

    Means over seeds.
    """
    first = next(run for _, run in of_all(runs))
    cases = {name: case for name, case in first["cases"].items() if case["group"] == group}
    ordered = sorted(cases, key=lambda name: float(cases[name]["lesion_ml"]))
    loads = [f"{cases[name]['lesion_ml']:.1f} ml" for name in ordered]
    yield heading(["score over its twin's; voxel AP", *loads])
    for name, mine in runs.items():
        cells = []
        for case in ordered:
            found = [run["cases"][case] for run in mine.values()]
            more = statistics.fmean(each["score"] / each["twin"] for each in found)
            precision = statistics.fmean(each["voxel_average_precision"] for each in found)
            cells.append(f"{more:.2f}; {precision:.2f}")
        yield row([WAYS[name].title, *cells])


def speeds(runs: Runs, slow: str, fast: str) -> Iterator[str]:
    """Yield how much faster one way is than another."""
    if slow in runs and fast in runs:
        took = [
            statistics.median(run["seconds"] for run in runs[name].values())
            for name in (slow, fast)
        ]
        yield (
            f"{WAYS[slow].title} took {took[0]:.1f} s for a volume, {WAYS[fast].title} "
            f"{took[1]:.2f} s: {took[0] / took[1]:.0f} times as fast."
        )


def groups_of(runs: Runs) -> list[str]:
    """Return the groups that are not healthy, in the order of the table."""
    cases = next(run for _, run in of_all(runs))["cases"].values()
    return [g for g in dict.fromkeys(case["group"] for case in cases) if g != HEALTHY]


def of_all(runs: Runs) -> Iterator[tuple[str, Found]]:
    """Yield every run with its title."""
    for name, mine in runs.items():
        for seed, run in sorted(mine.items()):
            yield WAYS[name].title + (f", {seed}" if WAYS[name].method else ""), run


def of_group(run: Found, group: str) -> Any:
    """Return what evaluation says of a group."""
    return run["summary"]["groups"][group]


def mean_of(found: Mapping[str, Any], score: str) -> Value:
    """Return a score's mean over a group's cases."""
    mean: Value = found["mean_over_anomalous"][score]["mean"]
    return mean


def false_ml(run: Found) -> Value:
    """Return the mean volume that is marked in healthy test cases."""
    healthy = run["summary"]["on_healthy"]
    return None if healthy is None else healthy["false_positive_ml"]["mean"]


def seconds(mine: Mapping[int, Found]) -> str:
    """Return the median time for a volume."""
    return number(statistics.median(run["seconds"] for run in mine.values()))


def minutes(mine: Mapping[int, Found]) -> str:
    """Return the mean time of a training; nothing where there was none."""
    took = [run["train_seconds"] / 60 for run in mine.values() if "train_seconds" in run]
    return f"{statistics.fmean(took):.1f}" if took else ""


def over_seeds(values: Sequence[Value], form: str = ".2f") -> str:
    """Return the mean, with the least and the most where there are several."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = format(statistics.fmean(known), form)
    return f"{mean} ({min(known):{form}} to {max(known):{form}})" if len(known) > 1 else mean


def interval(found: Mapping[str, Any]) -> str:
    """Return an area with its interval over patients."""
    low, high = found["bootstrap95"]
    ends = "" if low is None else f" [{low:.2f}, {high:.2f}]"
    return number(found["value"]) + ends


def number(value: Value, form: str = ".2f") -> str:
    """Return a number, or a dash where there is none."""
    return "-" if value is None else format(value, form)


def heading(titles: Sequence[str]) -> str:
    """Return the first two lines of a table."""
    return f"{row(titles)}\n|---|" + "---:|" * (len(titles) - 1)


def row(cells: Sequence[str]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cells)} |"
