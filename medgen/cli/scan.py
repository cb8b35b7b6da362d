"""The verb `scan`: a folder as it is, to a table of cases and a list of what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medgen.cli.terminal import Terminal

if TYPE_CHECKING:
    from medgen.discovery import Finding, Scan

_MOST_FILES = 3  # behind a problem


def scan(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="The folder to search, with all below it.")],
    output: Annotated[Path, typer.Option("--output", help="The table to write, e.g. cases.csv.")],
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", metavar="FILE", help="Hash the ids with this file's bytes, at least 16."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Find volumes in a folder, propose a table of cases, and list what was refused and why."""
    from medgen.discovery import KeyedNames, Names, read_key, summarise
    from medgen.discovery import scan as run_scan

    terminal = Terminal.of(context)
    names = Names() if key is None else KeyedNames(read_key(key))
    with terminal.progress("opening volumes", total=None) as bar:
        found = run_scan(
            folder,
            names=names,
            output=output,
            overwrite=overwrite,
            on_progress=lambda done, total, case: bar.set(done, total=total, note=case),
        )
    summary = summarise(found, table=str(output), keyed=names.keyed)
    if as_json:
        terminal.json(summary)
    else:
        _say(terminal, summary)
    _tell(terminal, found)
    if names.keyed:
        terminal.warn(
            "ids are hashed, but the table's paths still hold the folders' names and the series' "
            "UIDs: keep it as you keep the folders"
        )
        if summary["sites"]:
            terminal.warn(
                "the site's folder is part of a hashed id: scan the folder above the sites each "
                "time, or a patient gets another id"
            )
    if not as_json:
        _say_next(terminal, summary)
    terminal.event(
        "scanned",
        cases=summary["cases"],
        patients=summary["patients"],
        columns={name: column["cases"] for name, column in summary["columns"].items()},
        refused=len(found.refused),
    )
    raise typer.Exit(int(found.exit_code))


def _say(terminal: Terminal, summary: Mapping[str, Any]) -> None:
    """Print what was found where, and the columns with their ranges."""
    for layout in summary["layouts"]:
        where = "the folder given" if layout["where"] == "." else layout["where"]
        terminal.say(f"{layout['layout']}: {layout['volumes']} volumes in {where}")
    terminal.say(
        f"{summary['cases']} cases of {summary['patients']} patients; "
        f"{summary['volumes']} volumes and {summary['other_files']} other files seen"
    )
    for name in ("sites", "splits"):
        if len(summary[name]) > 1:
            terminal.say(f"{name}: {', '.join(summary[name])}")
    if "validation" not in summary["splits"] and len(summary["splits"]) > 1:
        terminal.warn(
            "folders name no split validation: change some cases from train, or training will "
            "not choose its best weights by any"
        )
    rows = [
        [
            name,
            column["cases"],
            column["unit"],
            _ranges(column["spacing_mm"]),
            _ranges(column["size"]),
            f"{column['values'][0]:.5g} to {column['values'][1]:.5g}",
        ]
        for name, column in summary["columns"].items()
    ]
    if rows:
        terminal.say()
        terminal.table(["column", "cases", "unit?", "spacing mm (R A S)", "size", "values"], rows)


def _ranges(axes: Sequence[Sequence[float]]) -> str:
    """Return `1-2 x 1 x 3-5` from the least and greatest along each axis."""
    shown = [(f"{low:.4g}", f"{high:.4g}") for low, high in axes]
    return " x ".join(low if low == high else f"{low}-{high}" for low, high in shown)


def _tell(terminal: Terminal, found: Scan) -> None:
    """Print every finding with its files, and log it without them: paths name patients."""
    for finding in found.findings:
        word = "refused" if finding.refused else "warning"
        text = f"medgen: {word}: {finding.problem!s}{_files(finding)}"
        terminal.alert(text.replace("\n", " "))
        level = "error" if finding.refused else "warning"
        terminal.journal.write("problem", finding.problem.as_json(), level=level)


def _files(finding: Finding) -> str:
    """Return the files or, where each has one, the cells that would choose them."""
    files = [path.as_posix() for path in finding.files]
    places = "" if len(finding.cells) > 1 else f"  ({_first(files)})" if files else ""
    return places + (f"  [cell: {_first(finding.cells)}]" if finding.cells else "")


def _first(names: Sequence[str]) -> str:
    more = len(names) - _MOST_FILES
    return ", ".join(names[:_MOST_FILES]) + (f" and {more} more" if more > 0 else "")


def _say_next(terminal: Terminal, summary: Mapping[str, Any]) -> None:
    """Print where the table is, and the commands that fit it."""
    if summary["table"] is None:
        terminal.warn("no case is left: no table was written")
        return
    terminal.say(f"\ntable: {summary['table']}")
    terminal.say("next:")
    for step in summary["next"]:
        terminal.say(f"  {step}")
