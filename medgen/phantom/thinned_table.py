"""What thinning asks of a table, and the new table: every old cell, and the thinned image's."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgen.data.modality import modality_of
from medgen.data.rows import CASE_ID, RESERVED, Row, Table
from medgen.data.table import read_table
from medgen.files import sha256_of_file
from medgen.phantom.thinning import Thinning
from medgen.problems import ConfigurationError, NothingFound, Problem
from medgen.volumes import SUFFIXES

TABLE = "cases.csv"
RECORD = "thin.json"
DOSE = "dose_fraction"


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which column to thin, how, and what to call the result."""

    column: str
    thinning: Thinning
    name: str = "pet_low"
    nan_to: float | None = None

    def files(self, output: Path, case: str) -> tuple[Path, Path]:
        """Return where a case's image and its sidecar are written."""
        folder = output / case
        return folder / f"{self.name}.nii.gz", folder / f"{self.name}.json"


def read_request(data: Path, request: Request, output: Path) -> Table:
    """Return the table, once nothing in it speaks against the request.

    Raises:
        ConfigurationError: the table is refused; the column's name says that it holds no PET; the
            new column's name is taken or cannot be a file's; an input would be replaced.
        NothingFound: no case has an image in the column.
    """
    table = read_table(data, columns=[request.column])
    problems = [*_column_problems(table, request), *_in_the_way(table, data, request, output)]
    if problems:
        raise ConfigurationError(problems)
    if not any(request.column in row.cells for row in table.rows):
        message = f"no case has an image in {request.column}"
        raise NothingFound(Problem("E_NOTHING_FOUND", message, "check --column and --data"))
    return table


def new_table(
    table: Table, data: Path, request: Request, output: Path, made: Collection[str]
) -> str:
    """Return the new table as CSV text: old words, old paths as seen from it, and two columns.

    The second holds the dose of the new image; it is called `dose_fraction`, and where the table
    has that for another image, NAME_dose_fraction. Both are empty for cases that are not `made`.
    """
    start, end = data.parent.resolve(), output.resolve()
    paths = [name for name in table.columns if _holds_paths(table, name, start)]
    dose = f"{request.name}_{DOSE}" if DOSE in table.columns else DOSE
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*table.columns, request.name, dose])
    for row in table.rows:
        cells = []
        for name in table.columns:
            if name == request.column:
                cells.append(_seen_from(end, row.cells[name]) if name in row.cells else "")
            else:
                word = row.word(name) or ""
                cells.append(_seen_from(end, start / word) if word and name in paths else word)
        image = request.files(output, row.case)[0].relative_to(output).as_posix()
        added = [image, f"{request.thinning.dose_fraction:g}"] if row.case in made else ["", ""]
        writer.writerow([*cells, *added])
    return text.getvalue()


def table_is_ours(output: Path) -> bool:
    """Tell whether the folder holds no table, or the one that thinning wrote, unchanged."""
    if not (output / TABLE).exists():
        return True
    written = (read_json(output / RECORD) or {}).get("table_sha256")
    return bool(written == sha256_of_file(output / TABLE))


def sha256_of_text(text: str) -> str:
    """Return the SHA-256 that a file of this text has."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_json(path: Path) -> Mapping[str, Any] | None:
    """Return the JSON object in a file, or None where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _column_problems(table: Table, request: Request) -> list[Problem]:
    problems = []
    kind = modality_of(request.column)
    if kind not in ("pet", "other"):
        message = f"the column {request.column} holds {kind.upper()}, by its name; PET is thinned"
        problems.append(Problem("E_MODALITY", message, "name the column of full-dose PET"))
    if not CASE_ID.fullmatch(request.name) or request.name in (*RESERVED, DOSE):
        message = "--name cannot be the name of a column of images"
        problems.append(Problem("E_TABLE_COLUMN", message, "for example pet_low"))
    elif {request.name, f"{request.name}_{DOSE}"} & set(table.columns):
        message = f"the table has a column {request.name} already"
        problems.append(Problem("E_TABLE_COLUMN", message, "give the thinned one another --name"))
    return problems


def _in_the_way(table: Table, data: Path, request: Request, output: Path) -> list[Problem]:
    """Find inputs that would be replaced."""
    advice = "choose another --output"
    if data.resolve() == (output / TABLE).resolve():
        return [Problem("E_OUTPUT_IS_INPUT", "the new table would replace --data", advice)]
    written = {path.resolve() for row in table.rows for path in request.files(output, row.case)}
    message = "an input would be replaced"
    return [
        Problem("E_OUTPUT_IS_INPUT", message, advice, row.case)
        for row in table.rows
        if not written.isdisjoint(_files_of(row, data.parent))
    ]


def _files_of(row: Row, folder: Path) -> set[Path]:
    """Return whatever the cells of a row could lead to."""
    texts = [text for text in row.other.values() if text and "\0" not in text]
    return {path.resolve() for path in (*row.cells.values(), *(folder / text for text in texts))}


def _holds_paths(table: Table, name: str, folder: Path) -> bool:
    """Tell whether a column that was not read holds paths, by its cells that lead to something.

    A word that happens to be a folder's name does not make it one, unless all of them are.
    """
    if name in RESERVED:
        return False
    texts = [text for row in table.rows if (text := row.other.get(name))]
    leading = [text for text in texts if _leads(folder, text)]
    alike = [text for text in leading if "/" in text or text.lower().endswith(tuple(SUFFIXES))]
    return bool(alike) or (bool(texts) and len(leading) == len(texts))


def _leads(folder: Path, text: str) -> bool:
    try:
        return (folder / text.partition("/#")[0]).exists()
    except (OSError, ValueError):
        return False


def _seen_from(folder: Path, path: Path) -> str:
    """Return the cell that leads from a folder to a path, with the choice at the path's end."""
    return Path(os.path.relpath(path.parent.resolve() / path.name, folder)).as_posix()
