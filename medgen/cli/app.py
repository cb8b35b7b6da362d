"""The program `medgen`: its verbs, its common options, and how it ends.

Problems that a user can mend are printed one to a line with their code; anything else is an
internal error, whose trace names the program's lines but no value, since values name patients.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

import medgen
from medgen.cli.compare import compare
from medgen.cli.convert import convert
from medgen.cli.evaluate import evaluate
from medgen.cli.generate import generate
from medgen.cli.info import info
from medgen.cli.init import init
from medgen.cli.inspect import inspect
from medgen.cli.phantom import phantom
from medgen.cli.plan import plan
from medgen.cli.prepare import prepare
from medgen.cli.ranks import follows
from medgen.cli.scan import scan
from medgen.cli.send import send
from medgen.cli.terminal import Terminal
from medgen.cli.thin import thin
from medgen.cli.train import train
from medgen.problems import ConfigurationError, Exit, MedgenError, Problem

VERBS_WITH_ANSWERS = frozenset({"train", "convert", "evaluate", "generate"})
"""Verbs whose answers somebody could mistake for a finding; they say that they are not."""

app = typer.Typer(
    name="medgen",
    help="Train, convert and evaluate translations of medical volumes. Research use only.",
    epilog="Common options may also stand behind the verb. Exit codes: 0 success, 1 internal "
    "error, 2 usage or configuration, 3 nothing found, 4 every case refused or failed, "
    "5 training stopped by a guard, 8 some cases failed, 130 interrupted.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"medgen {medgen.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    quiet: Annotated[bool, typer.Option("--quiet", help="No messages, no progress.")] = False,
    log: Annotated[
        Path | None, typer.Option("--log", metavar="FILE", help="Append events as JSON lines.")
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    del version  # its callback has answered
    context.obj = terminal = Terminal.of(context)
    terminal.configure(quiet=quiet, log=log, follows=follows(context.invoked_subcommand))
    terminal.event("started", verb=context.invoked_subcommand, version=medgen.__version__)
    if context.invoked_subcommand in VERBS_WITH_ANSWERS:
        terminal.banner()


for _verb, _summary in (
    (init, "Write a commented configuration to edit."),
    (phantom, "Make a sample cohort with its table."),
    (scan, "Find volumes in a folder and propose a table."),
    (inspect, "Say what one volume is, and whether the gate lets it in."),
    (thin, "Simulate a lower dose of full-dose PET."),
    (prepare, "Register columns to one, make masks, and write a new table."),
    (plan, "Propose patch, depth and spacing from cases and memory."),
    (train, "Train a method on a table's cases."),
    (convert, "Convert volumes with a trained run."),
    (generate, "Draw synthetic volumes from a generative run."),
    (evaluate, "Score predictions against references."),
    (compare, "Compare two evaluations case by case."),
    (send, "Send DICOM files to a receiver by C-STORE."),
    (info, "Say what a run is, or what this machine has."),
):
    app.command(short_help=_summary)(_verb)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; arguments default to those of the process."""
    terminal = Terminal()
    started = time.monotonic()
    code = int(Exit.INTERNAL)
    try:
        with _terminated_as_interrupted():
            code = _run(list(sys.argv[1:] if arguments is None else arguments), terminal)
    finally:
        seconds = round(time.monotonic() - started, 3)
        terminal.event("finished", exit_code=code, seconds=seconds)
        terminal.close()
    return code


def _run(arguments: list[str], terminal: Terminal) -> int:
    """Run one command and turn however it ended into an exit code."""
    try:
        app(_common_options_first(arguments), prog_name="medgen", obj=terminal)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(Exit.OK)
        if code == Exit.INTERRUPTED:
            terminal.note("medgen: interrupted")
        return code
    except MedgenError as error:
        terminal.error(error)
        return int(error.exit_code)
    except KeyboardInterrupt:
        terminal.note("medgen: interrupted")
        return int(Exit.INTERRUPTED)
    except OSError as error:
        # Verbs name the file's role where they can; a disk that fills up anywhere ends here.
        what = error.strerror or type(error).__name__
        advice = "check that the outputs' folders can be written and that the disk has space"
        message = f"the system refused a file: {what}"
        terminal.error(ConfigurationError(Problem("E_SYSTEM_FILE", message, advice)))
        return int(Exit.USAGE)
    except Exception as error:
        _report_internal(error, terminal)
        return int(Exit.INTERNAL)
    return int(Exit.OK)


def _common_options_first(arguments: list[str]) -> list[str]:
    """Move the common options before the verb, so that they may be written anywhere."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    common: list[str] = []
    others: list[str] = []
    index = 0
    while index < end:
        argument = arguments[index]
        if argument == "--log" and index + 1 == end:
            return [argument]  # the parser then says that a FILE is missing
        if argument == "--log":
            common += arguments[index : index + 2]
            index += 1
        elif argument in ("--quiet", "--version") or argument.startswith("--log="):
            common.append(argument)
        else:
            others.append(argument)
        index += 1
    return [*common, *others, *arguments[end:]]


def _report_internal(error: Exception, terminal: Terminal) -> None:
    """Say where the program broke: type and program lines, but no message and no value."""
    frames = traceback.extract_tb(error.__traceback__)
    root = Path(medgen.__file__).parent
    places = [
        f"{Path(frame.filename).relative_to(root.parent).as_posix()}:{frame.lineno} in {frame.name}"
        for frame in frames
        if Path(frame.filename).is_relative_to(root)
    ]
    kind = type(error).__name__
    terminal.journal.write("internal_error", {"type": kind, "at": places}, level="error")
    terminal.alert(f"medgen: internal error: {kind}")
    for place in places:
        terminal.alert(f"  at {place}")
    if os.environ.get("MEDGEN_TRACEBACK") == "full":
        traceback.print_exception(error)
    else:
        terminal.alert(
            "  its message is withheld, since it may name a patient; "
            "with MEDGEN_TRACEBACK=full in the environment it is shown here"
        )


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C while a command runs, so that temporary files are cleared away."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: signals are somebody else's business
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
