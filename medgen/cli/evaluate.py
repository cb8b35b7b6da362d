"""The verb `evaluate`: predictions against references, to scores, a summary and a report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medgen.cli.gate_options import (
    EchoOption,
    NanToOption,
    PhaseOption,
    SeriesOption,
    StraightenOption,
    choice_of,
)
from medgen.cli.score_tables import Table, by_class, by_region, overall
from medgen.cli.terminal import Terminal
from medgen.problems import ConfigurationError, Problem

if TYPE_CHECKING:
    from medgen.evaluation import Evaluation, Matched, Scored
    from medgen.metrics import Profile


def evaluate(
    context: typer.Context,
    prediction: Annotated[
        Path, typer.Option("--prediction", help="A volume or a folder of volumes to score.")
    ],
    output: Annotated[Path, typer.Option("--output", help="The folder of the report.")],
    reference: Annotated[
        Path | None, typer.Option("--reference", help="What they are scored against, by name.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option("--mask", help="Where to score; else the outline, or everywhere (labels)."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="A table of cases, instead of --reference.")
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", help="The table's column of references.")
    ] = None,
    mask_column: Annotated[
        str | None, typer.Option("--mask-column", help="The table's column of masks.")
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option("--regions", help="Label maps, by name: uptake by region (profile pet)."),
    ] = None,
    region_column: Annotated[
        str | None, typer.Option("--region-column", help="The table's column of label maps.")
    ] = None,
    region_names: Annotated[
        str, typer.Option("--region-names", help="What label values mean, e.g. spot=4,grey=2.")
    ] = "",
    split: Annotated[
        str | None,
        typer.Option("--split", help="Only these of the table's column split, e.g. test."),
    ] = None,
    profile: Annotated[
        str,
        typer.Option("--profile", help="hu, synthrad2023, synthrad2025, mr, pet or segmentation."),
    ] = "hu",
    match_grid: Annotated[
        bool,
        typer.Option("--match-grid", help="Resample onto the reference's grid, else refuse."),
    ] = False,
    series: SeriesOption = "",
    echo: EchoOption = None,
    phase: PhaseOption = None,
    straighten: StraightenOption = False,
    nan_to: NanToOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier report.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Score predictions against references inside a mask, and write a report."""
    terminal = Terminal.of(context)
    given = {"column": column, "mask-column": mask_column, "region-column": region_column}
    sources = {"mask": mask, "regions": regions}
    problems = _usage(reference, sources, data, given | {"split": split}, nan_to)
    names, faults = _region_names(region_names)
    if region_names and regions is None and region_column is None:
        advice = "give the label maps by --regions, or by --data and --region-column"
        faults.append(Problem("E_USAGE", "--region-names needs a region map", advice))
    if problems + faults:
        raise ConfigurationError(problems + faults)
    choice = choice_of(series, echo, phase, straighten)

    from medgen.evaluation import evaluate, match_paths, match_table
    from medgen.metrics import profile_named

    chosen = profile_named(profile)
    if data is not None:
        assert column is not None
        matched = match_table(
            prediction,
            data,
            column=column,
            mask_column=mask_column,
            region_column=region_column,
            split=split,
            choice=choice,
        )
    else:
        assert reference is not None
        matched = match_paths(prediction, reference, mask, regions=regions, choice=choice)
    _say_matching(terminal, matched, chosen)
    with terminal.progress("evaluate", total=len(matched.cases)) as bar:

        def done(scored: Scored) -> None:
            bar.advance(note=scored.case)
            terminal.event("case", case=scored.case, failed=scored.failed)

        found = evaluate(
            matched,
            chosen,
            output,
            region_names=names,
            match_grid=match_grid,
            nan_to=nan_to,
            overwrite=overwrite,
            on_case=done,
        )
    _warn(terminal, found)
    if as_json:
        terminal.json(found.summary)
    else:
        _say(terminal, found)
    raise typer.Exit(int(found.exit_code))


def _usage(
    reference: Path | None,
    beside: Mapping[str, Path | None],
    data: Path | None,
    of_table: Mapping[str, str | None],
    nan_to: float | None,
) -> list[Problem]:
    """Return what is wrong with the command line itself; options go by their names."""
    problems = []
    if (reference is None) == (data is None):
        advice = "volumes by --reference, or a table by --data and --column"
        problems.append(Problem("E_USAGE", "give either --reference or --data", advice))
    if data is not None and of_table["column"] is None:
        advice = "name the column of the references, e.g. --column ct"
        problems.append(Problem("E_USAGE", "--data needs --column", advice))
    for name, path in beside.items():
        if data is not None and path is not None:
            option = {"mask": "--mask-column", "regions": "--region-column"}[name]
            message = f"--{name} does not go with --data"
            problems.append(Problem("E_USAGE", message, f"name their column by {option}"))
    for name, value in of_table.items():
        if value is not None and data is None:
            problems.append(Problem("E_USAGE", f"--{name} needs --data", "give a table by --data"))
    if nan_to is not None and not math.isfinite(nan_to):
        problems.append(Problem("E_USAGE", "--nan-to must be a finite number", "e.g. --nan-to 0"))
    return problems


def _region_names(text: str) -> tuple[dict[str, int], list[Problem]]:
    """Return names with their label values, and what is wrong with them."""
    names: dict[str, int] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, value = (each.strip() for each in part.partition("="))
        if not name or not value.isdecimal() or int(value) == 0:
            fault = f"--region-names: {part!r} is no NAME=VALUE with a whole value above 0"
        elif name in names or int(value) in names.values():
            fault = f"--region-names: {part!r} repeats a name or a value"
        else:
            names[name] = int(value)
            continue
        return {}, [Problem("E_USAGE", fault, "write e.g. --region-names spot=4,grey=2")]
    return names, []


def _say_matching(terminal: Terminal, matched: Matched, profile: Profile) -> None:
    """Say what is scored, and what is missing."""
    mask = matched.scored_in(profile)
    terminal.note(f"medgen: {len(matched.cases)} predictions; mask: {mask}")
    if matched.without_prediction:
        terminal.note(f"medgen: {len(matched.without_prediction)} references have no prediction")


def _warn(terminal: Terminal, found: Evaluation) -> None:
    """Print each failure, and each remark once with its cases."""
    labels = found.summary.get("labels", {}).get("remarks", ())
    for remark in (*labels, *found.summary["remarks"]):
        terminal.warn(remark)
    for result in found.failed:
        for problem in result.problems:
            terminal.problem(problem)
    remarks: dict[str, list[str]] = {}
    for result in found.results:
        for remark in result.remarks:
            remarks.setdefault(remark, []).append(result.case)
    for remark, cases in remarks.items():
        more = f" and {len(cases) - 1} more" if len(cases) > 1 else ""
        terminal.warn(f"case {cases[0]}{more}: {remark}", cases=cases)


def _say(terminal: Terminal, found: Evaluation) -> None:
    """Print the headline, and where the report is."""
    blocks = {"": found.summary["headline"], "seen in training": found.summary["seen_in_training"]}
    for title, block in blocks.items():
        if block is None:
            continue
        if title:
            terminal.say(f"\n{title}, left out of the headline:")
        _print(terminal, overall(found.profile, block["scores"]))
        if found.profile.classes:
            terminal.say("\nmeans by class:")
            _print(terminal, by_class(found.profile, block["scores"]))
        if found.profile.regions:
            terminal.say("\nmeans by region:")
            _print(terminal, by_region(found.profile, block["scores"]))
    if found.summary["headline"] is None:
        terminal.warn("every scored case was seen in training: there is no headline")
    terminal.say(f"\nreport: {found.report}")


def _print(terminal: Terminal, table: Table) -> None:
    terminal.table(table.heads, table.rows)
    for line in table.below:
        terminal.say(line)
