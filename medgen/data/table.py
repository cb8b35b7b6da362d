"""Reading a case table, strictly: everything that is wrong with it, in one error."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from medgen.data.rows import CASE_ID, REQUIRED, RESERVED, SPLITS, Row, Table, lacks
from medgen.dicom import Choice, split_choice
from medgen.problems import ConfigurationError, NothingFound, Problem
from medgen.volumes import is_dicom

__all__ = ["CASE_ID", "SPLITS", "Row", "Table", "read_table"]


def read_table(path: Path, *, columns: Sequence[str]) -> Table:
    """Read a case table and check all of it.

    The file is UTF-8 text with a header, separated by commas, semicolons or tabs. Cells of
    `columns` are paths relative to the table: a volume file, or the folder of a DICOM series, where
    a choice may follow (`series/#echo=2`); a cell may be empty. Other columns stay text.

    Raises:
        ConfigurationError: with every problem of the table: its header, ids, files and splits.
        NothingFound: E_TABLE_EMPTY where it holds no case.
    """
    header, records = _records(path)
    problems = _check_header(header, columns)
    if problems:
        raise ConfigurationError(problems)
    if not records:
        raise NothingFound(
            Problem("E_TABLE_EMPTY", "the table holds no case", "add a row per case")
        )
    rows = []
    for line, record in records:
        row, wrong = _read_row(path.parent, line, dict(zip(header, record, strict=False)), columns)
        rows.append(row)
        problems += wrong if len(record) == len(header) else [_ragged(line, record, header)]
    problems += [*_check_duplicates(rows), *_check_splits(rows)]
    if problems:
        raise ConfigurationError(problems)
    return Table(tuple(rows), tuple(header))


def _records(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, and each non-blank record with its line number; cells are stripped."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        first = text.split("\n", 1)[0]
        delimiter = max(",;\t", key=first.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        lines = [(reader.line_num, [cell.strip() for cell in record]) for record in reader]
    except FileNotFoundError:
        message, advice = "the table does not exist", "check --data"
        raise ConfigurationError(Problem("E_TABLE_MISSING", message, advice)) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        message = f"the table cannot be read: {type(error).__name__}"
        advice = "save it as CSV in UTF-8"
        raise ConfigurationError(Problem("E_TABLE_UNREADABLE", message, advice)) from None
    filled = [(number, record) for number, record in lines if any(record)]
    return (filled[0][1], filled[1:]) if filled else ([], [])


def _check_header(header: Sequence[str], columns: Sequence[str]) -> list[Problem]:
    twice = sorted({name for name in header if name and header.count(name) > 1})
    problems = [
        Problem(
            "E_TABLE_HEADER", "the column stands twice in the header", "rename one", column=name
        )
        for name in twice
    ]
    if "" in header:
        problems.append(Problem("E_TABLE_HEADER", "a column has no name", "name it or remove it"))
    lacking = [name for name in dict.fromkeys([*REQUIRED, *columns]) if name not in header]
    problems += [lacks(name, header) for name in lacking]
    taken = [name for name in columns if name in RESERVED]
    problems += [
        Problem("E_TABLE_COLUMN", "this column holds words, not images", "rename it", column=name)
        for name in taken
    ]
    return problems


def _ragged(line: int, record: Sequence[str], header: Sequence[str]) -> Problem:
    message = f"line {line} has {len(record)} cells where the header has {len(header)}"
    return Problem("E_TABLE_CELLS", message, "quote a cell that contains the separator")


def _read_row(
    folder: Path, line: int, record: Mapping[str, str], columns: Sequence[str]
) -> tuple[Row, list[Problem]]:
    """Read one record; what is wrong with it is returned beside what could be read."""
    case, patient = record.get("case", ""), record.get("patient", "")
    usable = CASE_ID.fullmatch(case) is not None
    problems = [] if usable else [_unusable(line)]
    place = case if usable else f"on line {line}"
    if not patient:
        advice = "fill it in: splits never separate one patient's cases"
        problems.append(Problem("E_TABLE_PATIENT", "the patient is missing", advice, place))
    split = record.get("split") or None
    if split is not None and split not in SPLITS:
        known = f"use one of: {', '.join(SPLITS)}"
        problems.append(Problem("E_TABLE_SPLIT", "the split is not a known one", known, place))
    cells = {}
    for column in columns:
        found, wrong = _read_cell(folder, record.get(column, ""))
        if found is not None:
            cells[column] = found
        if wrong is not None:
            problems.append(wrong.at(case=place, column=column))
    other = {k: v for k, v in record.items() if k not in RESERVED and k not in columns}
    return Row(case, patient, cells, split, record.get("site") or None, other), problems


def _unusable(line: int) -> Problem:
    message = f"the case id on line {line} cannot become a file name"
    advice = "use at most 100 of A-Z a-z 0-9 . _ - and start with a letter, a digit or _"
    return Problem("E_TABLE_CASE", message, advice)


def _read_cell(folder: Path, text: str) -> tuple[Path | None, Problem | None]:
    """Return the path of a cell, or what is wrong with it; both are None where it is empty."""
    if not text:
        return None, None
    try:
        path = folder / text
        place, choice = split_choice(path)
        if place.exists():
            if choice != Choice() and not is_dicom(place):
                advice = "a choice after # picks from a DICOM folder; name the file itself"
                message = "the cell chooses inside something else"
                return None, Problem("E_CELL_SELECTOR", message, advice)
            return path, None
        if "#" in text and (folder / text[: text.index("#")]).exists():
            advice = "a choice inside a DICOM folder is written FOLDER/#echo=2, with the slash"
            message = "the cell's choice is not written as one"
            return None, Problem("E_CELL_SELECTOR", message, advice)
    except ConfigurationError as error:
        return None, error.problems[0]
    except (OSError, ValueError):
        pass
    advice = "paths are relative to the table; empty the cell where the case has no such image"
    return None, Problem("E_CELL_MISSING", "the file does not exist", advice)


def _check_duplicates(rows: Sequence[Row]) -> list[Problem]:
    """Find ids that are equal but for their case: some file systems do not tell them apart."""
    alike = defaultdict(list)
    for row in rows:
        if CASE_ID.fullmatch(row.case):
            alike[row.case.casefold()].append(row.case)
    return [
        Problem("E_TABLE_DUPLICATE", f"the case id stands {len(ids)} times", "rename", ids[0])
        for ids in alike.values()
        if len(ids) > 1
    ]


def _check_splits(rows: Sequence[Row]) -> list[Problem]:
    """Find patients in two splits, and cases without one where others have one."""
    patients: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        patients[row.patient.casefold()].append(row)
    problems = []
    for theirs in patients.values():
        splits = sorted({row.split for row in theirs if row.split})
        if len(splits) > 1 and theirs[0].patient:
            cases = ", ".join(row.case for row in theirs)
            message = f"one patient's cases ({cases}) are in the splits {' and '.join(splits)}"
            problems.append(Problem("E_TABLE_LEAK", message, "keep a patient in one split"))
    if any(row.split for row in rows):
        advice = "fill in the split of every case, or of none"
        problems += [
            Problem("E_TABLE_SPLIT", "the case has no split though others do", advice, row.case)
            for row in rows
            if not row.split
        ]
    return problems
