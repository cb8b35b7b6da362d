"""The verb `thin`: full-dose PET as a lower dose would have shown it, and a table of both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medgen.cli.gate_options import NanToOption, check_nan_to
from medgen.cli.terminal import Terminal

if TYPE_CHECKING:
    from medgen.phantom.thinned_cohort import Outcome, Result


def thin(
    context: typer.Context,
    data: Annotated[Path, typer.Option("--data", help="A table of cases.")],
    column: Annotated[
        str, typer.Option("--column", metavar="COL", help="The column of full-dose PET.")
    ],
    dose: Annotated[float, typer.Option("--dose", help="Share of the counts to keep.")],
    counts: Annotated[
        float,
        typer.Option(
            "--counts",
            help="True counts of a whole image at full dose: activity in view (MBq) x sensitivity "
            "(counts/s per MBq) x share that leaves the body (about 0.1) x seconds. It sets the "
            "noise and no file says it, so there is no default.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", help="Folder to write: a folder per case, a new table.")
    ],
    name: Annotated[
        str, typer.Option("--name", metavar="COL", help="The new table's column of thinned PET.")
    ] = "pet_low",
    background: Annotated[
        float | None,
        typer.Option("--background", help="Scatter and randoms as a share of all counts, else 0.4"),
    ] = None,
    smoothing: Annotated[
        float | None,
        typer.Option("--smoothing", metavar="MM", help="Gaussian after reconstruction, else 4"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same voxels.")] = 0,
    nan_to: NanToOption = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace what other settings made, and changed files."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON summary.")] = False,
) -> None:
    """Add to full-dose PET the noise of fewer counts, where the scan's own events are gone.

    Keeps each image's grid, unit and noise. Attenuation is ignored, and slices are independent. A
    second call goes on where the first stopped. The new table has every old cell, the thinned
    image, and dose_fraction (NAME_dose_fraction, if the old table has one).
    """
    terminal = Terminal.of(context)
    check_nan_to(nan_to)

    from medgen.phantom.thinned_cohort import Request, thin_table
    from medgen.phantom.thinning import Thinning

    given: dict[str, Any] = {"background_fraction": background, "smoothing_mm": smoothing}
    thinning = Thinning(
        dose_fraction=dose,
        counts=counts,
        seed=seed,
        **{option: value for option, value in given.items() if value is not None},
    )
    request = Request(column=column, thinning=thinning, name=name, nan_to=nan_to)
    with terminal.progress("thin", total=None) as bar:
        finished = 0

        def case(result: Result) -> None:
            nonlocal finished
            finished += 1
            bar.set(finished, note=result.case)
            for problem in result.problems:
                terminal.problem(problem)
            terminal.event("case", case=result.case, status=result.status, seconds=result.seconds)

        outcome = thin_table(
            data,
            request,
            output,
            overwrite=overwrite,
            on_start=lambda cases: bar.set(0, total=cases),
            on_case=case,
        )
    if as_json:
        terminal.json(_summary(outcome))
    else:
        _say(terminal, outcome)
    raise typer.Exit(int(outcome.exit_code))


def _say(terminal: Terminal, outcome: Outcome) -> None:
    """Print where the table is, and how many cases went which way."""
    statuses = [result.status for result in outcome.results]
    parts = [f"{len(statuses)} case{'s' if len(statuses) != 1 else ''}"]
    for status, words in (("kept", "kept from before"), ("failed", "failed")):
        parts += [f"{statuses.count(status)} {words}"] if status in statuses else []
    terminal.say(f"{outcome.table}: {', '.join(parts)}; simulated from stated counts")


def _summary(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome for a machine."""
    return {
        "cases": len(outcome.results),
        "results": [
            {
                "case": result.case,
                "status": result.status,
                "problems": [problem.as_json() for problem in result.problems],
                "seconds": result.seconds,
            }
            for result in outcome.results
        ],
    }
