"""The verb `convert`: a run's answers for a volume, a folder of volumes, or a table of cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from medgen.cli.gate_options import (
    EchoOption,
    NanToOption,
    PhaseOption,
    SeriesOption,
    StraightenOption,
    choice_of,
)
from medgen.cli.terminal import Bar, Terminal
from medgen.problems import ConfigurationError, Problem

if TYPE_CHECKING:
    from medgen.cohort import Case, Outcome, Result, Watch
    from medgen.cohort.cases import Format

ONE_CASE = (
    "a file of the input folder is named after the run's source column, as if the folder were one "
    "case, but every volume in it is converted; to convert that file alone, give it as --input"
)


def convert(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(help="A trained run folder.")],
    output: Annotated[
        Path, typer.Option("--output", help="Folder to write; for one input also a file.")
    ],
    volumes: Annotated[
        Path | None,
        typer.Option("--input", help="A volume file, a DICOM series, or a folder of either."),
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="A table of cases.")] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Only these cases of the table, e.g. test.")
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option(
            "--direction",
            help="forward (from the source, the default); of a cycle_gan also backward, of an "
            "adapted_segmenter also target: from the images of the target's domain.",
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    formats: Annotated[
        str, typer.Option("--format", help="nifti, dicom, or nifti,dicom.")
    ] = "nifti",
    template: Annotated[
        Path | None,
        typer.Option(
            "--dicom-template", help="The DICOM series that a NIfTI source was converted from."
        ),
    ] = None,
    series: SeriesOption = "",
    echo: EchoOption = None,
    phase: PhaseOption = None,
    straighten: StraightenOption = False,
    nan_to: NanToOption = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace answers of another model, changed ones, and foreign volume files.",
        ),
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first case that fails.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check the cases; write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON summary.")] = False,
) -> None:
    """Convert volumes with a trained run; a second call goes on where the first one stopped."""
    terminal = Terminal.of(context)
    chosen_formats = _formats(formats)
    problems = list(_usage(volumes, data, split, nan_to))
    if template is not None and "dicom" not in chosen_formats:
        advice = "add --format dicom, or leave the template out"
        problems.append(Problem("E_USAGE", "--dicom-template needs --format dicom", advice))
    if problems:
        raise ConfigurationError(problems)
    choice = choice_of(series, echo, phase, straighten)

    from medgen.cohort import (
        Options,
        cases_of_input,
        cases_of_table,
        check_cohort,
        convert_cohort,
        looks_like_one_case,
    )
    from medgen.runs import choose_device, load_model

    place = choose_device(device)
    model = load_model(run, device=place).facing(direction)
    if data is not None:
        cases = cases_of_table(
            data, model, split=split, choice=choice, on_left_out=partial(_left_out, terminal)
        )
    else:
        assert volumes is not None
        cases = cases_of_input(volumes, model, output=output, choice=choice)
        if looks_like_one_case(cases, model):
            terminal.warn(ONE_CASE)
        _name_series(terminal, cases)
    options = Options(
        formats=chosen_formats,
        template=template,
        nan_to=nan_to,
        overwrite=overwrite,
        fail_fast=fail_fast,
    )
    with terminal.progress("check" if dry_run else "convert", total=len(cases)) as bar:
        watch = _watch(terminal, bar)
        if dry_run:
            outcome = check_cohort(model, cases, output, options=options, watch=watch)
        else:
            outcome = convert_cohort(
                model, cases, output, device=place, options=options, watch=watch
            )
    if as_json:
        terminal.json(_summary(outcome, dry_run=dry_run))
    else:
        _say(terminal, outcome, output, dry_run=dry_run)
    raise typer.Exit(int(outcome.exit_code))


def _formats(text: str) -> tuple[Format, ...]:
    """Return what to write, in the order asked for.

    Raises:
        ConfigurationError: E_USAGE where a name is unknown or comes twice, or there is none.
    """
    named = [word.strip().lower() for word in text.split(",")]
    if not set(named) <= {"nifti", "dicom"} or len(set(named)) != len(named):
        message = "--format is none of nifti, dicom and nifti,dicom"
        raise ConfigurationError(Problem("E_USAGE", message, "give one of these"))
    return tuple(cast("list[Format]", named))


def _left_out(terminal: Terminal, direction: str, count: int) -> None:
    """Say how many cases of a table are of the model's other domain."""
    are, them = ("case is", "it") if count == 1 else ("cases are", "them")
    terminal.warn(
        f"{count} {are} left out, as of the model's other domain; "
        f"--direction {direction} converts {them}"
    )


def _name_series(terminal: Terminal, cases: Sequence[Case]) -> None:
    """Say which folder is which case, where a case is named by a hash; on the terminal only."""
    from medgen.volumes import is_dicom

    for case in cases:
        for path in case.inputs.values():
            if is_dicom(path) and path.name != case.name:
                terminal.note(f"medgen: {case.name} is {path}")


def _usage(
    volumes: Path | None, data: Path | None, split: str | None, nan_to: float | None
) -> list[Problem]:
    """Return what is wrong with the command line itself."""
    problems = []
    if (volumes is None) == (data is None):
        advice = "a volume or a folder by --input, a table by --data"
        problems.append(Problem("E_USAGE", "give either --input or --data", advice))
    if split is not None and data is None:
        problems.append(Problem("E_USAGE", "--split needs --data", "give a table by --data"))
    if nan_to is not None and not abs(nan_to) < float("inf"):
        problems.append(Problem("E_USAGE", "--nan-to must be a finite number", "e.g. --nan-to 0"))
    return problems


def _watch(terminal: Terminal, bar: Bar) -> Watch:
    """Report each case, and the share of its windows that are done."""
    from medgen.cohort import Watch

    finished = 0

    def case(result: Result) -> None:
        nonlocal finished
        finished += 1
        bar.set(finished, note=result.case)
        for problem in result.problems:
            terminal.problem(problem)
        for warning in result.warnings:
            terminal.warn(f"case {result.case}: {warning}", case=result.case)
        terminal.event("case", case=result.case, status=result.status, seconds=result.seconds)

    def windows(name: str, done: int, total: int) -> None:
        bar.set(finished + done / total, note=f"{name} {done}/{total}")

    return Watch(case=case, windows=windows)


def _say(terminal: Terminal, outcome: Outcome, output: Path, *, dry_run: bool) -> None:
    """Print a dry run's verdicts, or one line on what was written."""
    if dry_run:
        columns = ["case", "verdict", "problems"]
        terminal.table(columns, [_verdict(result) for result in outcome.results])
        return
    counts = Counter(result.status for result in outcome.results)
    parts = [f"{counts['ok']} converted"]
    parts += [f"{counts['kept']} kept from before"] if counts["kept"] else []
    parts += [f"{counts['failed']} failed"] if counts["failed"] else []
    left = outcome.cases - len(outcome.results)
    parts += [f"{left} not begun or not finished"] if left else []
    terminal.say(f"{output}: {', '.join(parts)}")


def _verdict(result: Result) -> list[str]:
    verdict = {"ok": "ok", "failed": "refused", "kept": "converted before"}[result.status]
    codes = dict.fromkeys(problem.code for problem in result.problems)
    return [result.case, verdict, ", ".join(codes)]


def _summary(outcome: Outcome, *, dry_run: bool) -> dict[str, Any]:
    """Return the outcome for a machine; the paths are left to the manifest's folder."""
    return {
        "cases": outcome.cases,
        "dry_run": dry_run,
        "convertible" if dry_run else "converted": outcome.count("ok"),
        "kept": outcome.count("kept"),
        "failed": outcome.count("failed"),
        "interrupted": outcome.interrupted,
        "results": [
            {
                "case": result.case,
                "status": result.status,
                "problems": [problem.as_json() for problem in result.problems],
                "warnings": list(result.warnings),
                "seconds": result.seconds,
            }
            for result in outcome.results
        ],
    }
