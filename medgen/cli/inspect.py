"""The verb `inspect`: one volume, its geometry, unit and values, and what the gate says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from medgen.cli.gate_options import (
    EchoOption,
    NanToOption,
    PhaseOption,
    SeriesOption,
    StraightenOption,
    check_nan_to,
    choice_of,
)
from medgen.cli.terminal import Terminal
from medgen.problems import Exit

Facts = Mapping[str, Any]


def inspect(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="A volume file, or a DICOM file, folder or tree.")],
    phi: Annotated[
        bool, typer.Option("--phi", help="Show the identifying attributes with their values.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For a machine to read.")] = False,
    series: SeriesOption = "",
    echo: EchoOption = None,
    phase: PhaseOption = None,
    straighten: StraightenOption = False,
    nan_to: NanToOption = None,
) -> None:
    """Say what one volume is, and whether the gate lets it in; exit 4 where it does not.

    The gate is the check that every verb puts a volume through before it uses it: it reads a file
    or a DICOM series in physical units at its place in the patient, or refuses it with every reason
    why. A path may pick one volume of a DICOM folder itself, as the options do: FOLDER/#echo=2, or
    FOLDER/#series=UID,phase=1,straighten.
    """
    choice = choice_of(series, echo, phase, straighten)
    check_nan_to(nan_to)
    from medgen.discovery.inspection import inspect as run_inspect

    terminal = Terminal.of(context)
    with terminal.progress("opening series", total=None) as bar:
        facts = run_inspect(
            path,
            choice,
            nan_to=nan_to,
            phi=phi,
            on_series=lambda done, total: bar.set(done, total=total),
        )
    if as_json:
        terminal.json(facts)
    else:
        _say(terminal, facts)
    codes = [problem["code"] for problem in facts["problems"]]
    terminal.event("inspected", verdict=facts["verdict"], problems=codes)
    if facts["verdict"] != "ok":
        raise typer.Exit(int(Exit.ALL_FAILED))


def _say(terminal: Terminal, facts: Facts) -> None:
    terminal.say(f"verdict: {facts['verdict']}")
    for problem in (*facts["problems"], *facts["notes"]):
        advice = f" -> {problem['advice']}" if "advice" in problem else ""
        terminal.say(f"  {problem['code']}: {problem['message']}{advice}")
    syntaxes = f", {', '.join(facts['transfer_syntax'])}" if facts["transfer_syntax"] else ""
    count = f"{facts['files']} file{'s' if facts['files'] != 1 else ''}"
    series = facts.get("series", ())
    count += f" of {len(series)} series" if series else ""
    terminal.say(f"format: {facts['format'] or 'unknown'}, {count}{syntaxes}")
    if not series:
        _say_one(terminal, facts)
    _say_series(terminal, series)
    _say_identifying(terminal, facts["identifying"])


def _say_one(terminal: Terminal, facts: Facts) -> None:
    """Print what is true of one volume only."""
    terminal.say(f"modality: {facts['modality'] or 'not told'}")
    if facts["case_id"]:
        terminal.say(f"case id: {facts['case_id']}")
    if making := _making(facts):
        terminal.say(f"made: {making}")
    if facts["verdict"] == "ok":
        _say_volume(terminal, facts)
    derived = facts["derived_dicom"]
    if facts["frame_of_reference"] is not None and facts["format"] == "DICOM":
        terminal.say(f"frame of reference: {'yes' if facts['frame_of_reference'] else 'none'}")
    if derived is not None:
        reasons = "; ".join(problem["message"] for problem in derived["problems"])
        terminal.say("derived DICOM: " + ("possible" if derived["possible"] else f"no, {reasons}"))


def _making(facts: Facts) -> str:
    return " and ".join(word for word in ("synthetic", "derived") if facts[word])


def _say_volume(terminal: Terminal, facts: Facts) -> None:
    terminal.say(f"shape: {_times(facts['shape'])} voxels of {_times(facts['spacing_mm'])} mm")
    terminal.say(f"field of view: {_times(facts['field_of_view_mm'])} mm")
    oblique = facts["oblique_degrees"]
    turned = f", oblique by {oblique:.1f} degrees" if oblique >= 0.05 else ""
    terminal.say(f"orientation: {facts['orientation']}{turned}")
    terminal.say("affine (index to RAS mm):")
    for row in facts["affine"]:
        terminal.say("  " + "".join(f"{number:12.4f}" for number in row))
    terminal.say(f"unit: {facts['unit']}")
    values = facts["values"]
    if "min" not in values:
        terminal.say("values: none, all is padding")
        return
    terminal.say(f"values: {values['min']:.6g} to {values['max']:.6g}, mean {values['mean']:.6g}")
    marks = ", ".join(f"{name} %: {value:.6g}" for name, value in values["percentiles"].items())
    terminal.say(f"percentiles: {marks}")
    background = (
        f"{values['background_share']:.1%} of values up to {values['background_up_to']:.6g}"
    )
    terminal.say(f"background: {background}")
    if values["padded_share"]:
        terminal.say(f"padding: {values['padded_share']:.1%} of voxels")


def _say_series(terminal: Terminal, series: Sequence[Facts]) -> None:
    """Print one line for each of several series, and the problems of those refused."""
    if not series:
        return
    terminal.say()
    columns = ["number", "modality", "files", "made", "verdict", "problems", "give"]
    rows = [
        [
            "" if one["number"] is None else str(one["number"]),
            one["modality"] or "other",
            one["files"],
            _making(one),
            one["verdict"],
            ", ".join(dict.fromkeys(problem["code"] for problem in one["problems"])),
            _way_to(one),
            one["case_id"] or "",
            one["uid"] or "none",
        ]
        for one in series
    ]
    terminal.table([*columns, "case id", "UID"], rows)
    terminal.say()


def _way_to(series: Facts) -> str:
    if not series["select"]:
        return "its own folder"
    return "--series UID" if series["select"] == series["uid"] else f"--series {series['select']}"


def _say_identifying(terminal: Terminal, found: Facts) -> None:
    count, private = found["attributes"], found["private"]
    if not count and not private:
        return
    more = "" if "found" in found else "; --phi shows them"
    terminal.say(f"identifying attributes: {count}, and {private} private ones{more}")
    for one in found.get("found", ()):
        others = one["different"] - len(one["values"])
        shown = " | ".join(one["values"]) + (f" and {others} more" if others else "")
        terminal.say(f"  {one['name']} ({one['files']} files): {shown}")


def _times(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:.6g}" for number in numbers)
