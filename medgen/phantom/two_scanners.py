"""Lesions at two sites: another scanner at the second, which also lacks a contrast of the first."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medgen.files import locked, write_text
from medgen.phantom.case import Case, CaseSettings, simulate
from medgen.phantom.cohort import TABLE, CohortSettings, Plan, write_case
from medgen.problems import ConfigurationError, Problem

MASKS = ("lesion", "body", "tissue")


@dataclass(frozen=True)
class Site:
    """What one hospital's protocol gives: its scanner's number, its contrasts and its voxels."""

    scanner: str
    contrasts: tuple[str, ...]
    size: tuple[int, int, int]
    """Voxels of the field of view of 192 x 224 x 192 mm."""


SITES: Mapping[str, Site] = {
    "one": Site("one", ("flair", "t2"), (96, 112, 96)),
    "two": Site("two", ("flair", "pd"), (96, 112, 48)),
}
"""Site one has 3 T and cubes of 2 mm; site two 1.5 T, more noise, and slices of 4 mm."""


def write_two_scanners(
    folder: Path,
    *,
    persons: int = 24,
    seed: int = 0,
    sites: Mapping[str, Site] = SITES,
    stripped: bool = True,
    overwrite: bool = False,
    on_case: Callable[[str], None] = lambda case: None,
) -> Path:
    """Make persons with white-matter lesions, by turns at each site; return their table's path.

    Columns: case, patient, site, every site's contrasts (arbitrary units; empty where the site
    has none), lesion, body (0 or 1) and tissue (as in any cohort). A site's images and masks
    share its grid. `stripped` images are 0 outside the brain, where tissue is 0, as studies of
    lesions have them. The table is written last. Raises ConfigurationError E_CASES on fewer persons
    than sites, E_SEED on a negative seed, and E_EXISTS where the folder holds a table already,
    unless `overwrite`; `on_case` is told the id of every case as it is finished.
    """
    table = folder / TABLE
    problems = []
    if persons < len(sites):
        message = f"{len(sites)} sites need as many cases or more, got {persons}"
        problems.append(Problem("E_CASES", message))
    if seed < 0:
        problems.append(Problem("E_SEED", f"the seed must not be negative, got {seed}"))
    if table.exists() and not overwrite:
        message, advice = "the folder holds a cohort already", "choose another folder"
        problems.append(Problem("E_EXISTS", message, advice))
    if problems:
        raise ConfigurationError(problems)
    settings = CohortSettings(persons=persons, seed=seed)
    placed = [_placed(index, sites) for index in range(persons)]
    with locked(folder):
        # Without its table, a cohort that was interrupted is seen to be incomplete.
        table.unlink(missing_ok=True)
        for plan, site in placed:
            made = simulate(seed, plan.index, plan.settings, mr_only=True)
            shown = {name: made.volumes[name] for name in (*sites[site].contrasts, *MASKS)}
            if stripped:
                brain = shown["tissue"].data > 0
                for name in sites[site].contrasts:
                    shown[name] = shown[name].with_data(np.where(brain, shown[name].data, 0.0))
            write_case(Case(shown, made.truth), plan, folder, settings)
            on_case(plan.case)
        write_text(table, _table(placed, sites))
    return table


def _placed(index: int, sites: Mapping[str, Site]) -> tuple[Plan, str]:
    """Return what to make of a person, and at which site."""
    name = tuple(sites)[index % len(sites)]
    settings = CaseSettings(
        size=sites[name].size, lesions="white-matter", scanner=sites[name].scanner
    )
    return Plan(f"head-{index:03d}", f"person-{index:03d}", index, settings), name


def _table(placed: list[tuple[Plan, str]], sites: Mapping[str, Site]) -> str:
    """Return the table as CSV text, with an empty cell for what a site does not have."""
    contrasts = list(dict.fromkeys(name for site in sites.values() for name in site.contrasts))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "patient", "site", *contrasts, *MASKS])
    for plan, name in placed:
        there = (*sites[name].contrasts, *MASKS)
        cells = [
            f"{plan.case}/{column}.nii.gz" if column in there else ""
            for column in (*contrasts, *MASKS)
        ]
        writer.writerow([plan.case, plan.patient, name, *cells])
    return text.getvalue()
