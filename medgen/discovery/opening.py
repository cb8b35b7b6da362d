"""Every volume that could fill a cell, opened through the gate: sound ones stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from medgen.dicom.choice import Choice
from medgen.discovery.columns import ordered
from medgen.discovery.examination import Facts, examine
from medgen.discovery.findings import Finding
from medgen.discovery.grouping import Case
from medgen.discovery.placement import Placement
from medgen.discovery.proposal import cell_of
from medgen.problems import Problem, Refusal

Progress = Callable[[int, int, str], None]
"""Is told how many volumes were opened, of how many, and the case of the last."""

_CHOICES = {"E_SEVERAL_ECHOES": Choice(echo=1), "E_SEVERAL_PHASES": Choice(phase=1)}
_RULE = (
    "originals come first, then the smallest voxel, the most slices and the lowest series number; "
    "write another into the cell if it is the one to use"
)


@dataclass
class _Cell:
    """One cell's candidates, the best first, and those that the gate let in."""

    case: Case
    column: str
    candidates: Sequence[Placement]
    sound: list[tuple[Placement, Facts]] = field(default_factory=list)


def open_cases(
    root: Path, output: Path, cases: Sequence[Case], on_progress: Progress
) -> tuple[dict[tuple[str, str], Facts], list[Finding]]:
    """Open every volume of the cases; empty the cells of which all were refused.

    Of several DICOM series the best sound one stays, by `SeriesPlace.rank`.
    """
    cells = [
        _Cell(case, column, [placement, *case.spares.get(column, ())])
        for case in cases
        for column, placement in case.cells.items()
    ]
    total = sum(len(cell.candidates) for cell in cells)
    done = 0
    findings: list[Finding] = []
    for cell in cells:
        for placement in cell.candidates:
            findings += _open(cell, placement, root, output)
            done += 1
            on_progress(done, total, cell.case.case)
        _settle(cell)
    findings += _others(cells, root, output)
    facts = {(cell.case.case, cell.column): cell.sound[0][1] for cell in cells if cell.sound}
    return facts, findings


def _open(cell: _Cell, placement: Placement, root: Path, output: Path) -> Iterator[Finding]:
    """Open one candidate; yield what is wrong or odd with it."""
    path = placement.entry.path
    try:
        facts = examine(root / path, cell.column, values=placement.values)
    except Refusal as refusal:
        ways = [_CHOICES[p.code] for p in refusal.problems if p.code in _CHOICES]
        choices: tuple[str, ...] = ()
        if ways and placement.series:
            chosen = ways[0].over(ways[-1]).at(root / path)
            choices = (cell_of(root, output, chosen.relative_to(root)),)
        for problem in refusal.at(case=cell.case.case, column=cell.column).problems:
            cells = choices if problem.code in _CHOICES else ()
            yield Finding(_for_a_cell(problem) if cells else problem, (path,), cells=cells)
        return
    cell.sound.append((placement, facts))
    for problem in facts.problems:
        told = problem.at(case=cell.case.case, column=cell.column)
        yield Finding(told, (path,), refused=False)


def _for_a_cell(problem: Problem) -> Problem:
    advice = "choose one in the table, counted from 1, behind the folder as shown"
    return replace(problem, advice=advice)


def _settle(cell: _Cell) -> None:
    """Fill the cell with the best sound candidate."""
    if cell.sound:
        cell.case.cells[cell.column] = cell.sound[0][0]
    else:
        del cell.case.cells[cell.column]


def _others(cells: Sequence[_Cell], root: Path, output: Path) -> Iterator[Finding]:
    """Yield, once for each column, the sound candidates that fill no cell."""
    for column in ordered([cell.column for cell in cells]):
        filled = [cell for cell in cells if cell.column == column and cell.sound]
        several = [cell for cell in filled if len(cell.sound) > 1]
        if not several:
            continue
        message = f"in {len(several)} of {len(filled)} cases several series could fill this cell"
        paths = [one.entry.path for cell in several for one, _ in cell.sound[1:]]
        choices = tuple(cell_of(root, output, path) for path in paths)
        problem = Problem("W_OTHER_SERIES", message, _RULE, column=column)
        yield Finding(problem, tuple(paths), refused=False, cells=choices)
