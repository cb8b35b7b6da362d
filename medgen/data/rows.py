"""The rows of a case table: cases, their patients, and a cell per image or mask."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medgen.problems import ConfigurationError, Problem

SPLITS = ("train", "validation", "test", "calibrate")
REQUIRED = ("case", "patient")
RESERVED = (*REQUIRED, "split", "site")
CASE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
"""Case ids become file names: no leading dot or dash, at most 100 characters."""


@dataclass(frozen=True)
class Row:
    """One case: its images by column, and the words that `where` may ask for."""

    case: str
    patient: str
    cells: Mapping[str, Path]
    """The existing files or folders by column, with the choice that a cell makes in a DICOM folder;
    a column without one is absent."""
    split: str | None = None
    site: str | None = None
    other: Mapping[str, str] = field(default_factory=dict)
    """The text of the columns that were not read as images."""

    def word(self, column: str) -> str | None:
        """Return the text of a column that holds words, or None where the table lacks it."""
        fixed = {"case": self.case, "patient": self.patient, "split": self.split, "site": self.site}
        return fixed[column] if column in fixed else self.other.get(column)


@dataclass(frozen=True)
class Table:
    """The rows of a case table, in its own order."""

    rows: tuple[Row, ...]
    columns: tuple[str, ...]

    def select(self, where: Mapping[str, str], *, filled: Iterable[str] = ()) -> tuple[Row, ...]:
        """Return the rows whose words equal `where` and whose cells in `filled` hold an image.

        Raises:
            ConfigurationError: E_TABLE_COLUMN where the table lacks a column of `where`.
        """
        lacking = [column for column in where if column not in self.columns]
        if lacking:
            raise ConfigurationError([lacks(column, self.columns) for column in lacking])
        wanted = tuple(filled)
        return tuple(
            row
            for row in self.rows
            if all(row.word(column) == value for column, value in where.items())
            and all(column in row.cells for column in wanted)
        )

    def row(self, case: str) -> Row:
        """Return the row of a case.

        Raises:
            ConfigurationError: E_TABLE_CASE where the table has no such case.
        """
        for row in self.rows:
            if row.case == case:
                return row
        message = f"the table has no case {case!r}"
        raise ConfigurationError(Problem("E_TABLE_CASE", message, "check the case column"))


def lacks(name: str, header: Sequence[str]) -> Problem:
    """Say which column the table lacks, and which it has."""
    existing = ", ".join(header) or "none"
    return Problem("E_TABLE_COLUMN", f"the table has no column {name!r}", f"it has: {existing}")
