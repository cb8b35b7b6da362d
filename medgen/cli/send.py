"""The verb `send`: store DICOM files at a receiver, such as an archive or a planning system."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medgen.cli.terminal import Terminal
from medgen.problems import Problem

if TYPE_CHECKING:
    from medgen.dicom.sending import Delivery

_MOST_FILES = 3  # behind a problem
_OWN_NAME = re.compile(r"[0-9]{4,}\.dcm")


def send(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A DICOM series, a tree of them, or one file.")
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="AET@host:port", help="AE title and address to send to.")
    ],
    calling: Annotated[
        str, typer.Option("--calling", metavar="AET", help="The AE title to call oneself.")
    ] = "MEDGEN",
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds to wait for an answer.")
    ] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Send DICOM files by C-STORE, as the bytes they are, and say what became of each.

    Files that failed are named on the terminal, with their numbers. --json has the numbers alone,
    and the names of files called 0001.dcm and the like, since others may name patients. Files are
    numbered from 1 by name, those of a folder before those of its folders.
    """
    from medgen.dicom.association import receiver_of
    from medgen.dicom.sending import send as send_files

    terminal = Terminal.of(context)
    with terminal.progress("sending", total=None) as bar:
        delivery = send_files(
            folder,
            receiver_of(to),
            calling=calling,
            timeout=timeout,
            on_file=lambda done, total: bar.set(done, total=total),
        )
    numbers = delivery.numbers()
    for problem, paths in _alike(delivery.failed).items():
        terminal.alert(f"medgen: {problem!s}{_named(paths, folder, numbers)}")
        fields = problem.as_json() | {"files": len(paths)}
        terminal.journal.write("problem", fields, level="error")
    if as_json:
        terminal.json(_as_json(delivery, numbers))
    else:
        _say(terminal, delivery, to)
    terminal.event(
        "sent",
        files=delivery.files,
        stored=delivery.stored,
        warned=sum(delivery.warned.values()),
        failed=len(delivery.failed),
    )
    raise typer.Exit(int(delivery.exit_code))


def _say(terminal: Terminal, delivery: Delivery, to: str) -> None:
    for status, count in sorted(delivery.warned.items()):
        terminal.warn(f"{_files(count)} stored with the warning status 0x{status:04X}")
    if delivery.others:
        terminal.note(f"medgen: {_files(delivery.others)} left out that are not DICOM")
    terminal.say(f"stored {delivery.stored} of {_files(delivery.files)} at {to}")


def _as_json(delivery: Delivery, numbers: Mapping[Path, int]) -> dict[str, object]:
    return {
        "files": delivery.files,
        "stored": delivery.stored,
        "warnings": {f"0x{status:04X}": count for status, count in delivery.warned.items()},
        "others": delivery.others,
        "associations": delivery.associations,
        "failed": [
            {"file": numbers[path], **_harmless(path), **problem.as_json()}
            for path, problem in delivery.failed
        ],
    }


def _harmless(path: Path) -> dict[str, str]:
    """Return the name of a file that is called as medgen calls its own, else nothing."""
    return {"name": path.name} if _OWN_NAME.fullmatch(path.name) else {}


def _alike(failed: Iterable[tuple[Path, Problem]]) -> dict[Problem, list[Path]]:
    """Group files by what is wrong with them, so that a dead receiver is told of once."""
    groups: dict[Problem, list[Path]] = {}
    for path, problem in failed:
        groups.setdefault(problem, []).append(path)
    return groups


def _named(paths: list[Path], folder: Path, numbers: Mapping[Path, int]) -> str:
    """Return a problem's files, by number and on the terminal by path: paths name patients."""
    shown = ", ".join(f"{numbers[path]}: {_below(path, folder)}" for path in paths[:_MOST_FILES])
    more = len(paths) - _MOST_FILES
    return f"  ({shown}{f' and {more} more' if more > 0 else ''})"


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path != folder else path.name


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
