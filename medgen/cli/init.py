"""The verb `init`: write an example configuration to edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medgen.cli.terminal import Terminal
from medgen.files import write_text
from medgen.problems import ConfigurationError, Problem


def init(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Which one; none lists them.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write; NAME.yaml where left out.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write a commented configuration to edit; without a name, list them."""
    from medgen.config import shipped_configs

    terminal = Terminal.of(context)
    configs = shipped_configs()
    if name is None:
        width = max((len(known) for known in configs), default=0)
        for known, text in configs.items():
            terminal.say(f"{known.ljust(width)}  {_title(text)}")
        terminal.note("medgen init NAME --output FILE writes one to edit")
        return
    path = output if output is not None else Path(f"{name}.yaml")
    problems = []
    if name not in configs:
        known = ", ".join(configs)
        problems.append(
            Problem("E_CONFIG_NAME", f"there is no configuration {name!r}", f"known: {known}")
        )
    if path.exists() and not overwrite:
        problems.append(
            Problem(
                "E_EXISTS",
                "the output file exists already",
                "give --overwrite to replace it, or another --output",
            )
        )
    if problems:
        raise ConfigurationError(problems)
    write_text(path, configs[name])
    terminal.say(str(path))


def _title(text: str) -> str:
    """Return the first comment line that is not the command."""
    comments = [line.removeprefix("#").strip() for line in text.splitlines() if line[:1] == "#"]
    return next((line for line in comments if line and not line.startswith("medgen ")), "")
