"""The cases of a table, and the files of each that a preparation reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medgen.data.rows import Row, Table
from medgen.data.table import read_table
from medgen.preparation.request import Request
from medgen.problems import ConfigurationError, NothingFound, Problem
from medgen.volumes import digest_of

TABLE = "cases.csv"


@dataclass(frozen=True)
class Case:
    """A case, its row, and its files by column; a column without a file is absent."""

    row: Row
    problem: Problem | None = None
    inputs: Mapping[str, Path] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The case's id."""
        return self.row.case


def cases_of(data: Path, request: Request, output: Path) -> tuple[Table, list[Case]]:
    """Return the table and each case that holds any of the columns.

    A case without the fixed image is returned with its problem.

    Raises:
        ConfigurationError: the table is refused, the output would replace what is read, or a
            column to be kept holds files.
        NothingFound: no case holds any of the columns.
    """
    table = read_table(data, columns=request.images)
    problems = [*_kept_problems(table, data.parent, request), *_in_the_way(table, data, output)]
    if problems:
        raise ConfigurationError(problems)
    cases = []
    for row in table.rows:
        problem = None
        if request.fixed not in row.cells:
            message = "the case has no image in the fixed column"
            problem = Problem("E_COLUMN_EMPTY", message, "fill it", row.case, request.fixed)
        if row.cells:
            cases.append(Case(row, problem, row.cells))
    if not cases:
        message = f"no case has an image in {', '.join(request.images)}"
        raise NothingFound(Problem("E_NOTHING_FOUND", message, "check --data"))
    return table, cases


def digests_of(case: Case) -> dict[str, str]:
    """Return the digest of each file that a case reads; nothing where it cannot be read."""
    found = {}
    for column, path in sorted(case.inputs.items()):
        try:
            found[column] = digest_of(path)
        except OSError:
            found[column] = ""
    return found


def left_out(table: Table, request: Request) -> list[str]:
    """Return the columns that the new table does not get."""
    known = {"case", "patient", "split", "site", *request.images, *request.keep}
    return [column for column in table.columns if column not in known]


def _kept_problems(table: Table, folder: Path, request: Request) -> list[Problem]:
    """Find columns to be kept that the table lacks, or that hold files and not words."""
    problems = []
    for column in request.keep:
        if column not in table.columns:
            has = ", ".join(table.columns)
            message = f"the table has no column {column!r}"
            problems.append(Problem("E_TABLE_COLUMN", message, f"it has: {has}"))
        elif any(_is_file(folder, row.word(column) or "") for row in table.rows):
            message = "--keep keeps words, but this column holds files"
            advice = "register it by --moving, or let it ride along by --carry"
            problems.append(Problem("E_KEEP_FILES", message, advice, None, column))
    return problems


def _is_file(folder: Path, text: str) -> bool:
    """Tell whether a cell is, or looks like, a path: they may hold names and lead nowhere new."""
    if "/" in text or "\\" in text:
        return True
    try:
        return bool(text) and (folder / text).exists()
    except (OSError, ValueError):
        return False


def _in_the_way(table: Table, data: Path, output: Path) -> list[Problem]:
    """Find inputs in the folders that would be written."""
    advice = "choose another --output"
    if data.resolve() == (output / TABLE).resolve():
        return [Problem("E_OUTPUT_IS_INPUT", "the new table would replace --data", advice)]
    problems = []
    folders = {(output / row.case).resolve() for row in table.rows}
    for row in table.rows:
        inside = [
            column
            for column, path in row.cells.items()
            if not folders.isdisjoint(path.resolve().parents)
        ]
        message = "an input lies in a folder that would be written"
        problems += [
            Problem("E_OUTPUT_IS_INPUT", message, advice, row.case, column) for column in inside
        ]
    return problems
