"""The verb `convert`: a run's answers for a volume, a folder of volumes, or a table of cases."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medgen.cli.convert_results import say, summary
from medgen.cli.convert_usage import Usage, formats_of
from medgen.cli.gate_options import (
    EchoOption,
    NanToOption,
    PhaseOption,
    SeriesOption,
    StraightenOption,
    choice_of,
)
from medgen.cli.terminal import Bar, Terminal

if TYPE_CHECKING:
    from medgen.cohort import Case, Executor, Options, Result, Watch
    from medgen.runs import Model

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
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            help="Write CASE_std too: how far answers to mirrored sources, by other dropout, and "
            "of the --ensemble vary.",
        ),
    ] = False,
    ensemble: Annotated[
        list[Path] | None,
        typer.Option(
            "--ensemble", help="Another run to answer with: the mean is written; repeat it."
        ),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option("--part", help="i/n: the i-th of n shares of the cases, for arrays of jobs."),
    ] = None,
    limit_memory: Annotated[
        float | None,
        typer.Option("--limit-memory", help="Memory to stay within, in GB; all there is."),
    ] = None,
    executor: Annotated[
        str,
        typer.Option("--executor", help="local, ray (a cluster of its own), or ray://ADDRESS."),
    ] = "local",
    cores_per_worker: Annotated[
        int | None,
        typer.Option(
            "--cores-per-worker", min=1, help="Of --executor ray, where there is no GPU. [4]"
        ),
    ] = None,
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
    written = formats_of(formats)
    Usage(
        volumes,
        data,
        split,
        nan_to,
        template,
        written,
        limit_memory,
        executor,
        cores_per_worker,
    ).check()
    choice = choice_of(series, echo, phase, straighten)

    from medgen.cohort import (
        Options,
        Part,
        cases_of_input,
        cases_of_table,
        check_cohort,
        convert_cohort,
        looks_like_one_case,
    )
    from medgen.runs import choose_device, load_model

    place = choose_device(device)
    model = load_model(run, device=place).facing(direction)
    members = [load_model(other, device=place).facing(direction) for other in ensemble or ()]
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
        formats=written,
        template=template,
        nan_to=nan_to,
        overwrite=overwrite,
        fail_fast=fail_fast,
        uncertainty=uncertainty,
        part=None if part is None else Part.parse(part),
        limit_bytes=None if limit_memory is None else round(limit_memory * 1e9),
    )
    count = len(cases) if options.part is None else len(options.part.share(cases))
    with terminal.progress("check" if dry_run else "convert", total=count) as bar:
        watch = _watch(terminal, bar)
        if dry_run:
            outcome = check_cohort(
                model, cases, output, members=members, options=options, watch=watch
            )
        else:
            who = _executor(
                executor,
                cores_per_worker,
                [run, *(ensemble or ())],
                [model, *members],
                options,
                direction=direction,
                use_gpus=None if device == "auto" else place.type == "cuda",
            )
            outcome = convert_cohort(
                model,
                cases,
                output,
                device=place,
                members=members,
                options=options,
                watch=watch,
                executor=who,
            )
    if as_json:
        terminal.json(summary(outcome, dry_run=dry_run))
    else:
        say(terminal, outcome, output, dry_run=dry_run)
    raise typer.Exit(int(outcome.exit_code))


def _executor(
    name: str,
    cores_per_worker: int | None,
    runs: Sequence[Path],
    models: Sequence[Model],
    options: Options,
    *,
    direction: str | None,
    use_gpus: bool | None,
) -> Executor | None:
    """Return who converts; None is this process."""
    if name == "local":
        return None
    from medgen.cohort.ray_cluster import CORES_PER_WORKER, RayExecutor
    from medgen.cohort.recipe import Recipe

    return RayExecutor(
        Recipe.of(runs, models, direction=direction, options=options),
        address=name if name.startswith("ray://") else None,
        cores_per_worker=cores_per_worker or CORES_PER_WORKER,
        use_gpus=use_gpus,
    )


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
        if result.reasons:
            reasons = "; ".join(result.reasons)
            terminal.warn(f"case {result.case}: {result.verdict}: {reasons}", case=result.case)
        for warning in result.warnings:
            terminal.warn(f"case {result.case}: {warning}", case=result.case)
        terminal.event(
            "case",
            case=result.case,
            status=result.status,
            verdict=result.verdict,
            seconds=result.seconds,
        )

    def windows(name: str, done: int, total: int) -> None:
        bar.set(finished + done / total, note=f"{name} {done}/{total}")

    return Watch(case=case, windows=windows)
