"""The verb `phantom`: make a sample cohort of simulated heads, with its table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medgen.cli.terminal import Terminal
from medgen.problems import ConfigurationError, Problem

if TYPE_CHECKING:
    from medgen.phantom.cohort import CohortSettings


def phantom(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", help="Folder to make the cohort in.")],
    cases: Annotated[int, typer.Option("--cases", help="How many persons.")] = 12,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same voxels.")] = 0,
    size: Annotated[
        str, typer.Option("--size", help="Voxels of the 192 x 224 x 192 mm field of view.")
    ] = "96x112x96",
    dose: Annotated[
        float, typer.Option("--dose", help="Share of the counts that pet_low keeps.")
    ] = 0.1,
    lesions: Annotated[
        str,
        typer.Option(
            "--lesions", help="none, white-matter, mass or mixed; each with a healthy twin."
        ),
    ] = "none",
    scanner: Annotated[
        str, typer.Option("--scanner", help="one (3 T), two (1.5 T), or both in turn.")
    ] = "one",
    oblique: Annotated[
        bool, typer.Option("--oblique", help="Tilted, anisotropic, differently stored grids.")
    ] = False,
    aligned: Annotated[
        bool, typer.Option("--aligned", help="Leave out the 0.5-1 mm shift between MR and CT.")
    ] = False,
    volume_format: Annotated[
        str, typer.Option("--format", help="nifti, metaimage, nrrd or dicom (masks: nifti).")
    ] = "nifti",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a cohort that is there.")
    ] = False,
) -> None:
    """Make a cohort of simulated heads: MR, CT, PET and masks, a table, and the truth."""
    from medgen.phantom.cohort import noise_floors, plan_cohort, write_cohort

    terminal = Terminal.of(context)
    settings = _settings(
        persons=cases,
        seed=seed,
        volume_format=volume_format,
        size=_parsed_size(size),
        dose_fraction=dose,
        lesions=lesions,
        scanner=scanner,
        oblique=oblique,
        aligned=aligned,
    )
    plans = plan_cohort(settings)
    with terminal.progress("making heads", total=len(plans)) as bar:

        def made(case: str) -> None:
            bar.advance(note=case)
            terminal.event("made", case=case)

        table = write_cohort(settings, output, overwrite=overwrite, on_case=made)
    floors = list(noise_floors(table, [plan.case for plan in plans]).values())
    terminal.note(
        f"{len(plans)} cases; mean CT noise floor {sum(floors) / len(floors):.1f} HU "
        "(the least MAE in the body that any prediction can have)"
    )
    terminal.say(str(table))


def _settings(*, persons: int, seed: int, volume_format: Any, **case: Any) -> CohortSettings:
    """Return the cohort's settings; `plan_cohort` checks every value, with all problems at once."""
    from medgen.phantom.case import CaseSettings
    from medgen.phantom.cohort import CohortSettings

    return CohortSettings(persons, seed, CaseSettings(**case), volume_format)


def _parsed_size(text: str) -> tuple[int, int, int]:
    """Read `96x112x96` or `96,112,96`."""
    parts = text.lower().replace(",", "x").split("x")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        message = "--size takes three whole numbers of voxels"
        raise ConfigurationError(Problem("E_SIZE", message, "for example --size 96x112x96"))
    first, second, third = (int(part) for part in parts)
    return first, second, third
