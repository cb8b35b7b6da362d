"""What a person sees: results on stdout, messages and progress on stderr.

Every verb prints through a `Terminal`, so that `--quiet` and `--log` work the same everywhere and
no string from a file's header can send control codes to a terminal.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from medgen.cli.journal import Journal, JournalHandler
from medgen.problems import MedgenError, Problem

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

RESEARCH_USE = "research use only: not a medical device, not for diagnosis or treatment"


class Bar:
    """A progress bar that is drawn only where somebody watches."""

    def __init__(self, progress: Progress | None = None, task: TaskID | None = None) -> None:
        self._progress = progress
        self._task = task

    def advance(self, steps: float = 1, *, note: str = "") -> None:
        """Move on by `steps` and show a note behind the bar."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, advance=steps, note=printable(note))

    def set(self, completed: float, *, total: float | None = None, note: str = "") -> None:
        """Move to `completed`, of a total that may come late; show a note behind the bar."""
        if self._progress is not None and self._task is not None:
            self._progress.update(
                self._task, completed=completed, total=total, note=printable(note)
            )


class Terminal:
    """Print results, messages and progress; keep the log."""

    def __init__(self) -> None:
        self.quiet = False
        self.journal = Journal()
        self._progress: Progress | None = None
        self._handlers: list[logging.Handler] = []

    @staticmethod
    def of(context: typer.Context) -> Terminal:
        """Return the terminal of the running command."""
        found = context.find_object(Terminal)
        return found if found is not None else Terminal()

    def configure(self, *, quiet: bool, log: Path | None, follows: bool = False) -> None:
        """Apply the common options, and let the library's own log records come through.

        Where it `follows` another process that says the same, only errors are shown.
        """
        self.quiet = quiet or follows
        if log is not None and not follows:
            self.journal.open(log)
        self._handlers = [JournalHandler(self.journal), _WarningHandler(self)]
        if follows:
            self._handlers = [logging.NullHandler()]
        logger = logging.getLogger("medgen")
        logger.setLevel(logging.INFO)
        for handler in self._handlers:
            logger.addHandler(handler)

    def close(self) -> None:
        """Close the log and let go of the library's log records."""
        for handler in self._handlers:
            logging.getLogger("medgen").removeHandler(handler)
        self._handlers = []
        self.journal.close()

    def say(self, text: str = "") -> None:
        """Print a result to stdout, also under --quiet."""
        print("\n".join(printable(line) for line in text.split("\n")), flush=True)

    def json(self, value: Any) -> None:
        """Print a machine's result to stdout; NaN and infinity are refused."""
        print(json.dumps(value, indent=2, allow_nan=False), flush=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print an aligned table to stdout: text to the left, numbers to the right.

        Floats get four significant digits; a result for a machine goes to a file, or to --json.
        """
        cells = [[_cell(value) for value in row] for row in rows]
        widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
        right = [any(isinstance(row[i], int | float) for row in rows) for i in range(len(columns))]
        for row in [list(columns), *cells]:
            padded = [
                cell.rjust(width) if to_right else cell.ljust(width)
                for cell, width, to_right in zip(row, widths, right, strict=True)
            ]
            self.say("  ".join(padded).rstrip())

    def alert(self, text: str) -> None:
        """Print one line to stderr, above the bar where one is drawn; --quiet does not hide it."""
        line = printable(text)
        try:
            if self._progress is not None:
                self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
            else:
                print(line, file=sys.stderr, flush=True)
        except OSError:  # nobody listens any more, or the disk of a log is full: the work goes on
            _hush(sys.stderr)

    def note(self, text: str) -> None:
        """Print a message to stderr, unless --quiet."""
        if not self.quiet:
            self.alert(text)

    def warn(self, text: str, **fields: object) -> None:
        """Print a warning to stderr and log it; --quiet does not hide it."""
        self.alert(f"medgen: warning: {text}")
        self.journal.write(text, fields, level="warning")

    def problem(self, problem: Problem) -> None:
        """Print one problem on one line of stderr and log it."""
        self.alert(f"medgen: {problem!s}".replace("\n", " "))
        self.journal.write("problem", problem.as_json(), level="error")

    def error(self, error: MedgenError) -> None:
        """Print every problem of an error."""
        for problem in error.problems:
            self.problem(problem)

    def event(self, event: str, **fields: object) -> None:
        """Write an event to the log only; fields name cases and columns, never paths."""
        self.journal.write(event, fields)

    def banner(self) -> None:
        """Say what medgen's answers are not for, unless --quiet."""
        self.note(f"medgen: {RESEARCH_USE}")

    @contextmanager
    def progress(self, title: str, *, total: float | None) -> Iterator[Bar]:
        """Show a bar with the time left on stderr while the block runs, if stderr is a terminal."""
        if self.quiet or not sys.stderr.isatty():
            yield Bar()
            return
        if self._progress is not None:  # a bar inside a bar: one more line below
            yield Bar(self._progress, self._progress.add_task(title, total=total, note=""))
            return
        with _bars() as progress:
            self._progress = progress
            try:
                yield Bar(progress, progress.add_task(title, total=total, note=""))
            finally:
                self._progress = None


class _WarningHandler(logging.Handler):
    """Show the library's warnings on the terminal."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(logging.WARNING)
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        self._terminal.alert(f"medgen: {record.levelname.lower()}: {record.getMessage()}")


def _hush(stream: TextIO) -> None:
    """Let what a stream still holds, and all that is written to it, go nowhere."""
    with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def printable(text: str) -> str:
    """Return text whose control and direction-changing characters are written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def _bars() -> Progress:
    """Make the bars; rich is imported here, since most commands draw none."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
        expand=True,
    )
