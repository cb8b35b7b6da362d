"""The verb `plan`: what the cases and the memory suggest, as a new configuration."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medgen.cli.terminal import Terminal
from medgen.problems import ConfigurationError, Problem

if TYPE_CHECKING:
    from medgen.config import Config
    from medgen.planning import Budget, Plan

SHOWN = 3
"""Warnings of one kind about one column that are printed one by one; the others are counted."""


def plan(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(help="The configuration to start from.")],
    data: Annotated[Path, typer.Option("--data", help="The table of cases (cases.csv).")],
    output: Annotated[Path, typer.Option("--output", help="The new configuration to write.")],
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change one key before planning, e.g. chain.stages=1; repeatable.",
        ),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            "--memory",
            metavar="GB",
            help="Memory to plan for; default: the GPU's, or half of the machine's.",
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            "--device", help="What to plan for: auto, cpu or cuda; with --memory also elsewhere."
        ),
    ] = "auto",
    keep_network: Annotated[
        bool,
        typer.Option(
            "--keep-network",
            help="Keep a `unet`, also where a GPU has the memory for a residual-encoder U-Net.",
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Propose spacing, network, patch, batch and window from the cases and the memory there is.

    The new configuration is the given one with the keys of --set and the proposed ones, each below
    its reasons. What is doubtful about the cases is printed as warnings.
    """
    if output.exists() and not overwrite:
        advice = "give --overwrite to replace it, or another --output"
        raise ConfigurationError(Problem("E_EXISTS", "the output file exists already", advice))

    from medgen.files import write_text
    from medgen.planning import budget_of
    from medgen.planning import plan as propose

    def budget(settings: Config) -> Budget:
        return budget_of(memory_gb=memory, device=device, precision=settings.train.precision)

    terminal = Terminal.of(context)
    with terminal.progress("cases", total=None) as bar:

        def report(what: str, done: int, total: int) -> None:
            bar.set(done, total=total, note=what)

        found = propose(
            config,
            data,
            budget,
            name=output.name,
            keep_network=keep_network,
            assignments=assignments or [],
            report=report,
        )
    for problem in found.survey.refused:
        terminal.problem(problem)
    _warn(terminal, found.doubts)
    write_text(output, found.text)
    if as_json:
        terminal.json(found.as_json())
    else:
        _say(terminal, found, output)
    raise typer.Exit(int(found.exit_code))


def _warn(terminal: Terminal, doubts: Iterable[Problem]) -> None:
    """Print the warnings; of many alike the first ones, and how many more there are."""
    kinds: dict[tuple[str, str | None], list[Problem]] = defaultdict(list)
    for doubt in doubts:
        kinds[doubt.code, doubt.column].append(doubt)
    for (code, column), alike in kinds.items():
        shown = alike if len(alike) <= SHOWN + 1 else alike[:SHOWN]
        for doubt in shown:
            terminal.warn(str(doubt), **doubt.as_json())
        rest = [doubt.case for doubt in alike[len(shown) :] if doubt.case]
        if rest:
            place = f" [column {column}]" if column else ""
            text = f"{code}{place}: the same of {len(rest)} more cases: {', '.join(rest)}"
            terminal.warn(text, code=code, column=column, cases=rest)


def _say(terminal: Terminal, found: Plan, output: Path) -> None:
    """Print the proposal, and what it should take."""
    terminal.table(
        ["key", "proposed", "because"],
        [[".".join(c.path), _value(c.value), c.reason] for c in found.changes],
    )
    budget, needed = found.budget, found.choice.bytes
    terminal.say(
        f"\nplanned for {budget.device_type}, {budget.precision}, memory {budget.origin}; "
        f"training should take {needed / 1e9:.1f} GB of it"
    )
    terminal.say(str(output))


def _value(value: object) -> str:
    return str(value).replace("'", "")
