"""What a scan has to say: a coded problem, the files it is about, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from medgen.problems import Problem


@dataclass(frozen=True)
class Finding:
    """One problem of a scan.

    `files` are relative to the scanned folder, for the terminal only: folders name patients.
    `refused` tells whether something was left out of the table; else it is a warning.
    """

    problem: Problem
    files: tuple[PurePosixPath, ...] = ()
    refused: bool = True
    cells: tuple[str, ...] = ()
    """What to write into the table's cell to choose otherwise; for the terminal only, too."""
