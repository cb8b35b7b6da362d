"""What `evaluate --profile anomaly` adds: its options, and what came of it in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgen.cli.terminal import Terminal
from medgen.problems import Problem

if TYPE_CHECKING:
    from medgen.evaluation import Evaluation, Matched

OF_MAPS = "anomaly"
"""The profile that scores anomaly maps."""


def usage_of_anomalies(
    profile: str, group_column: str | None, data: Path | None, of_images: Mapping[str, object]
) -> list[Problem]:
    """Return what is wrong with the options; `of_images` are those of other profiles, by name."""
    problems = []
    if group_column is not None and profile != OF_MAPS:
        message = f"--group-column does not go with --profile {profile}"
        advice = f"it is for --profile {OF_MAPS}; leave it out"
        problems.append(Problem("E_USAGE", message, advice))
    elif group_column is not None and data is None:
        problems.append(Problem("E_USAGE", "--group-column needs --data", "give a table by --data"))
    if profile == OF_MAPS:
        for name, given in of_images.items():
            if given:
                message = f"--{name} does not go with --profile {OF_MAPS}"
                problems.append(
                    Problem("E_USAGE", message, "leave it out: maps have no use for it")
                )
    return problems


def evaluate_anomalies(
    terminal: Terminal, matched: Matched, output: Path, **how: Any
) -> Evaluation:
    """Score matched anomaly maps; `how` is handed to `evaluate_maps`."""
    from medgen.evaluation import Scored, evaluate_maps

    with terminal.progress("evaluate", total=len(matched.cases)) as bar:

        def done(scored: Scored) -> None:
            bar.advance(note=scored.case)
            terminal.event("case", case=scored.case, failed=scored.failed)

        return evaluate_maps(matched, output, on_case=done, **how)


def say_anomalies(terminal: Terminal, found: Mapping[str, Any]) -> None:
    """Print the figures of a summary's `anomaly`."""
    terminal.say(f"\ncases: {found['healthy']} healthy, {found['anomalous']} anomalous")
    rows: list[list[object]] = [
        _case_row(name + (" *" if name == found["score"] else ""), row)
        for name, row in found["by_score"].items()
    ]
    if rows:
        heads = ["case score", "AUROC", "95% bootstrap", "95% DeLong", "average precision"]
        terminal.table([*heads, "95% bootstrap", "chance"], rows)
        terminal.say("* the score that the run chose; the others are no choice to make afterwards")
    if found["threshold"]:
        said = [
            f"{name} {_share(found['threshold'][name])}" for name in ("sensitivity", "specificity")
        ]
        terminal.say(f"at the calibrated threshold: {', '.join(said)}")
    _say_voxels(terminal, found)
    if found["groups"]:
        terminal.say("\nby group, cases against all healthy ones, voxels of the group's own cases:")
        heads = ["group", "cases", "case AUROC", "95% bootstrap", "voxel AP", "chance", "Dice"]
        terminal.table(heads, [_group_row(*item) for item in found["groups"].items()])


def _say_voxels(terminal: Terminal, found: Mapping[str, Any]) -> None:
    pooled, means = found["voxels"]["pooled"], found["voxels"]["mean_over_anomalous"]
    names = {
        "average precision": ("average_precision", "voxel_average_precision"),
        "chance (prevalence)": ("chance", "prevalence"),
        "AUROC": ("auroc", "voxel_auroc"),
        "Dice, calibrated mask": ("dice", "dice"),
        "best Dice: ORACLE": ("oracle_dice", "oracle_dice"),
    }
    rows: list[list[object]] = [
        [label, _text(pooled[key]), _text(means[column]["mean"]), _ends(means[column]["ci95"])]
        for label, (key, column) in names.items()
    ]
    terminal.say("\nvoxels:")
    terminal.table(["score", "pooled", "mean over anomalous", "95% interval"], rows)
    healthy = found["on_healthy"]
    if healthy:
        ml = healthy["false_positive_ml"]
        terminal.say(
            f"marked in {healthy['cases']} healthy cases: mean {_text(ml['mean'])} ml, median "
            f"{_text(ml['median'])}, at most {_text(ml['max'])}"
        )


def _case_row(name: str, row: Mapping[str, Any]) -> list[object]:
    area, precision = row["auroc"], row["average_precision"]
    return [
        name,
        _text(area["value"]),
        _ends(area["bootstrap95"]),
        _ends(area["delong95"]),
        _text(precision["value"]),
        _ends(precision["bootstrap95"]),
        _text(precision["chance"]),
    ]


def _group_row(name: str, row: Mapping[str, Any]) -> list[object]:
    area: Mapping[str, Any] = {"value": None, "bootstrap95": [None, None]}
    if row["cases"]:
        area = row["cases"]["auroc"]
    return [
        name,
        row["anomalous"],
        _text(area["value"]),
        _ends(area["bootstrap95"]),
        _text(row["pooled"]["average_precision"]),
        _text(row["pooled"]["chance"]),
        _text(row["mean_over_anomalous"]["dice"]["mean"]),
    ]


def _share(found: Mapping[str, Any]) -> str:
    if found["value"] is None:
        return "not to be had"
    return f"{found['value']:.3g} ({found['cases']} of {found['of']})"


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _ends(interval: list[float | None]) -> str:
    low, high = interval
    return "" if low is None or high is None else f"{low:.3g} to {high:.3g}"
