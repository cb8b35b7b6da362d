"""The verb `compare`: two evaluations of the same cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medgen.cli.terminal import Terminal

if TYPE_CHECKING:
    from medgen.evaluation.differences import Difference

SHOWN = 30
"""Scores on the terminal: segmentations have one for each class and score."""


def compare(
    context: typer.Context,
    first: Annotated[Path, typer.Argument(help="A report folder: the one to beat.")],
    second: Annotated[Path, typer.Argument(help="Another report folder, on the same cases.")],
    output: Annotated[Path, typer.Option("--output", help="The folder of the comparison.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier comparison.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Compare two evaluations case by case: differences, intervals, signed-rank tests."""
    terminal = Terminal.of(context)

    from medgen.evaluation import compare

    found = compare(first, second, output, overwrite=overwrite)
    for warning in found.summary["warnings"]:
        terminal.warn(warning)
    if as_json:
        terminal.json(found.summary)
        return
    left_out = {
        "only in the first report": found.summary["only_in_first"],
        "only in the second report": found.summary["only_in_second"],
        "seen in training": found.summary["left_out_as_seen_in_training"],
    }
    for reason, cases in left_out.items():
        if cases:
            terminal.note(f"medgen: left out, {reason}: {', '.join(cases)}")
    columns = ["score", "first", "second", "difference", "95% interval", "p", "p (Holm)"]
    rows = [_row(difference) for difference in found.differences[:SHOWN]]
    terminal.table([*columns, "better:equal:worse"], rows)
    if len(found.differences) > SHOWN:
        terminal.say(f"and {len(found.differences) - SHOWN} more scores in the report")
    terminal.say(f"\n{found.summary['cases']} cases of {found.summary['patients']} patients")
    terminal.say(found.summary["caution"])
    terminal.say(f"report: {found.page}")


def _row(difference: Difference) -> list[object]:
    facts = difference.as_json()
    low, high = facts["ci95"]
    counts = f"{difference.second_better}:{difference.equal}:{difference.second_worse}"
    return [
        difference.column.name,
        facts["first_mean"],
        facts["second_mean"],
        facts["mean_difference"],
        f"{low:.3g} to {high:.3g}" if low is not None else "",
        facts["wilcoxon_p"],
        facts["holm_p"],
        counts,
    ]
