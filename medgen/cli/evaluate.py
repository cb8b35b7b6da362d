"""The verb `evaluate`: predictions against references, to scores, a summary and a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from medgen.cli.anomalies import OF_MAPS, evaluate_anomalies, say_anomalies, usage_of_anomalies
from medgen.cli.evaluate_usage import region_names_of, usage_of_evaluate
from medgen.cli.features import (
    WITHOUT_PAIRS,
    evaluate_without_pairs,
    lend,
    say_distances,
    usage_of_features,
)
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
    group_column: Annotated[
        str | None,
        typer.Option(
            "--group-column", help="Profile anomaly: the table's column of kinds to report by."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            help="Only these of the table's column split, e.g. test. Profile distribution: only "
            "these references, and every prediction.",
        ),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            help="hu, synthrad2023, synthrad2025, mr, pet or segmentation; anomaly, of anomaly "
            "maps against lesions; or distribution, of two sets without pairs.",
        ),
    ] = "hu",
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            help="A segmenter's run: KID (between different patients only) and FID of its "
            "features, without pairs.",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="For --features: auto, cpu, cuda or cuda:N.")
    ] = None,
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
    problems = usage_of_evaluate(reference, sources, data, given | {"split": split}, nan_to)
    names, faults = region_names_of(region_names)
    if region_names and regions is None and region_column is None:
        advice = "give the label maps by --regions, or by --data and --region-column"
        faults.append(Problem("E_USAGE", "--region-names needs a region map", advice))
    of_pairs: dict[str, object] = {
        **sources,
        "mask-column": mask_column,
        "region-column": region_column,
    }
    of_pairs["match-grid"] = match_grid
    faults += usage_of_features(profile, features, device, of_pairs)
    of_images = {"region-names": region_names, "regions": regions, "region-column": region_column}
    faults += usage_of_anomalies(profile, group_column, data, {**of_images, "features": features})
    if problems + faults:
        raise ConfigurationError(problems + faults)
    choice = choice_of(series, echo, phase, straighten)

    gate: Any = {"nan_to": nan_to, "overwrite": overwrite}
    if profile == WITHOUT_PAIRS:
        assert features is not None
        table = None if data is None else (data, column, split)
        found = evaluate_without_pairs(
            terminal, prediction, reference, table, output, choice, (features, device), gate
        )
        _end(terminal, found, as_json=as_json)

    from medgen.evaluation import ANOMALY, evaluate, match_paths, match_table
    from medgen.metrics import profile_named

    chosen = ANOMALY if profile == OF_MAPS else profile_named(profile)
    if data is not None:
        assert column is not None
        matched = match_table(
            prediction,
            data,
            column=column,
            mask_column=mask_column,
            region_column=region_column,
            group_column=group_column,
            split=split,
            choice=choice,
        )
    else:
        assert reference is not None
        matched = match_paths(prediction, reference, mask, regions=regions, choice=choice)
    _say_matching(terminal, matched, chosen)
    if chosen is ANOMALY:
        found = evaluate_anomalies(terminal, matched, output, match_grid=match_grid, **gate)
        _end(terminal, found, as_json=as_json)
    source = None
    if features is not None:
        source = lend(features, device, column=column, unit=chosen.unit)
    volumes = 2 * len(matched.cases) if source else 0
    with terminal.progress("evaluate", total=len(matched.cases) + volumes) as bar:

        def done(scored: Scored) -> None:
            bar.advance(note=scored.case)
            terminal.event("case", case=scored.case, failed=scored.failed)

        found = evaluate(
            matched,
            chosen,
            output,
            region_names=names,
            match_grid=match_grid,
            on_case=done,
            features=source,
            on_volume=lambda name: bar.advance(note=name),
            **gate,
        )
    _end(terminal, found, as_json=as_json)


def _say_matching(terminal: Terminal, matched: Matched, profile: Profile) -> None:
    """Say what is scored, and what is missing."""
    mask = matched.scored_in(profile)
    terminal.note(f"medgen: {len(matched.cases)} predictions; mask: {mask}")
    if matched.without_prediction:
        terminal.note(f"medgen: {len(matched.without_prediction)} references have no prediction")


def _end(terminal: Terminal, found: Evaluation, *, as_json: bool) -> NoReturn:
    """Print what was found, and leave with its exit code."""
    _warn(terminal, found)
    if as_json:
        terminal.json(found.summary)
    else:
        _say(terminal, found)
    raise typer.Exit(int(found.exit_code))


def _warn(terminal: Terminal, found: Evaluation) -> None:
    """Print each failure, and each remark once with its cases."""
    labels = found.summary.get("labels", {}).get("remarks", ())
    for remark in (*labels, *found.summary["remarks"]):
        terminal.warn(remark)
    for result in found.failed:
        for problem in result.problems:
            terminal.problem(problem)
    left_out = found.summary.get("distribution", {}).get("failed", ())
    if left_out and found.profile.name != WITHOUT_PAIRS:  # there they are among the failed
        said = ", ".join(f"{each['case']} ({each['column']}): {each['code']}" for each in left_out)
        terminal.warn(f"KID and FID leave out volumes without features: {said}")
    remarks: dict[str, list[str]] = {}
    for result in found.results:
        for remark in result.remarks:
            remarks.setdefault(remark, []).append(result.case)
    for remark, cases in remarks.items():
        more = f" and {len(cases) - 1} more" if len(cases) > 1 else ""
        terminal.warn(f"case {cases[0]}{more}: {remark}", cases=cases)


def _say(terminal: Terminal, found: Evaluation) -> None:
    """Print the headline, and where the report is."""
    if "distribution" in found.summary:
        say_distances(terminal, found.summary["distribution"])
    if "anomaly" in found.summary:
        say_anomalies(terminal, found.summary["anomaly"])
    if found.profile.name in (WITHOUT_PAIRS, OF_MAPS):
        terminal.say(f"\nreport: {found.report}")
        return
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
