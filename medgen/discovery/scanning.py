"""The verb `scan`: a folder to cases, a table of the good ones, and why others were left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medgen.discovery import bids, dicom, folders, nnunet
from medgen.discovery.consistency import (
    check_cohort,
    check_frames,
    drawn_on,
    drop_duplicates,
    same_grids,
)
from medgen.discovery.examination import Facts
from medgen.discovery.findings import Finding
from medgen.discovery.frames import (
    check_kinds,
    check_references,
    check_studies,
    other_frames,
)
from medgen.discovery.grouping import Case, group
from medgen.discovery.identities import Names
from medgen.discovery.opening import Progress, open_cases
from medgen.discovery.placement import Placement
from medgen.discovery.proposal import settle_splits, write_table
from medgen.discovery.walking import Tree, walk
from medgen.problems import ConfigurationError, Exit, NothingFound, Problem


@dataclass(frozen=True)
class Recognised:
    """A layout in one folder of the tree; `scope` is for the terminal only."""

    layout: str
    scope: tuple[str, ...]
    volumes: int


@dataclass
class Scan:
    """What a scan found; `cases` are those that the table proposes."""

    cases: list[Case]
    facts: dict[tuple[str, str], Facts]
    """By case and column, of every sound volume that the table names."""
    findings: list[Finding]
    layouts: list[Recognised]
    volumes: int
    """How many files or DICOM series were found that could be volumes."""
    others: int
    """How many files were neither volumes nor DICOM."""
    one_grid: bool = field(default=True)
    """Whether every case has its images on one grid."""
    drawn_on: Mapping[str, str] = field(default_factory=dict)
    """By label or mask, the image column whose grid it has."""
    one_frame: bool = field(default=True)
    """Whether the DICOM series of every case share a frame of reference."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """How many DICOM localizers, reports, structure sets, ... were not proposed."""

    @property
    def refused(self) -> list[Finding]:
        """Return the findings that kept something out of the table."""
        return [finding for finding in self.findings if finding.refused]

    @property
    def exit_code(self) -> Exit:
        """Return 0, or 8 where something was refused, or 4 where everything was."""
        if not self.cases:
            return Exit.ALL_FAILED
        return Exit.SOME_FAILED if self.refused else Exit.OK


def scan(
    root: Path,
    *,
    names: Names,
    output: Path,
    overwrite: bool = False,
    on_progress: Progress = lambda done, total, case: None,
) -> Scan:
    """Find volumes below a folder, open each, and write the table of what is good.

    Raises:
        NothingFound: E_MISSING_FILE or E_NOTHING_FOUND, where there is no volume.
        ConfigurationError: E_EXISTS or E_OUTPUT, before anything is read.
    """
    _check_paths(root, output, overwrite)
    tree = walk(root)
    if not (tree.entries or tree.dicom or any(finding.refused for finding in tree.findings)):
        raise NothingFound(_nothing(tree))
    placements, findings = recognise(root, tree)
    archive = dicom.recognise(
        root,
        tree.dicom,
        names,
        beside=placements,
        on_header=lambda done, total: on_progress(done, total, "DICOM headers"),
    )
    findings += archive.placed.findings
    placements = [one for one in placements if one.entry.path not in archive.joined]
    placements += archive.placed.placements
    grouped = group(placements, names, root_name=root.resolve().name)
    findings = [*tree.findings, *findings, *grouped.findings]
    facts, examined = open_cases(root, output, grouped.cases, on_progress)
    findings += [*examined, *drop_duplicates(grouped.cases, facts)]
    cases = [case for case in grouped.cases if case.cells]
    findings += [*settle_splits(cases), *check_kinds(cases)]
    for case in cases:
        findings += check_frames(case, facts)
    findings += [*check_references(cases), *check_studies(cases), *check_cohort(cases, facts)]
    if cases:
        write_table(cases, root, output)
    return Scan(
        cases,
        {(case.case, column): facts[case.case, column] for case in cases for column in case.cells},
        findings,
        _layouts(placements),
        len(tree.entries) + archive.series,
        tree.others,
        one_grid=same_grids(cases, facts),
        drawn_on=drawn_on(cases, facts),
        one_frame=not any(other_frames(case) for case in cases),
        left_out=archive.left_out,
    )


def recognise(root: Path, tree: Tree) -> tuple[list[Placement], list[Finding]]:
    """Place every file of a tree by the layout of its own folder."""
    challenge, others = nnunet.recognise(root, tree.entries)
    imaging, others = bids.recognise(others)
    named = folders.recognise(others)
    placed = (challenge, imaging, named)
    placements = [placement for one in placed for placement in one.placements]
    return placements, [finding for one in placed for finding in one.findings]


def _check_paths(root: Path, output: Path, overwrite: bool) -> None:
    if not root.is_dir():
        advice = "check the spelling; scan takes a folder"
        raise NothingFound(Problem("E_MISSING_FILE", "there is no such folder", advice))
    if output.is_dir():
        message = "--output is a folder; it names the table's file"
        raise ConfigurationError(Problem("E_OUTPUT", message, "for example cases.csv"))
    if output.exists() and not overwrite:
        advice = "give --overwrite to replace it, or another --output"
        raise ConfigurationError(Problem("E_EXISTS", "the table exists already", advice))
    # Told before the volumes are read, which may take an hour.
    place = next(folder for folder in output.absolute().parents if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        message = "the table's folder cannot be written to"
        raise ConfigurationError(Problem("E_OUTPUT", message, "give another --output"))


def _layouts(placements: Sequence[Placement]) -> list[Recognised]:
    counts = Counter((one.scope, one.layout) for one in placements)
    return [Recognised(layout, scope, count) for (scope, layout), count in sorted(counts.items())]


def _nothing(tree: Tree) -> Problem:
    files = f"{tree.others} other file{'s' if tree.others != 1 else ''}"
    message = f"the folder holds no volume, but {files}" if tree.others else "the folder is empty"
    advice = "volumes are .nii.gz, .nii, .mha, .mhd, .nrrd, .nhdr or DICOM"
    return Problem("E_NOTHING_FOUND", message, advice)
