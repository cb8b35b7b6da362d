"""The new table of cases, and the manifest of what became of every column of every case."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from medgen.data.rows import Table
from medgen.preparation.cases import TABLE, Case
from medgen.preparation.record import Record, Result
from medgen.preparation.request import Request, verdict_column

__all__ = ["MANIFEST", "MANIFEST_HEADER", "TABLE", "manifest", "new_table"]

MANIFEST = "manifest.tsv"
_SCORES = ("mutual_information", "outline_dice", "edge_distance_mm", "edge_parallel")
_NUMBERS = ("moved_mm", "turned_degrees", "spread_mm", "seen", "folded", "deformed_mm", "ml")
_COLUMNS = (
    "case",
    "column",
    "kind",
    "verdict",
    "codes",
    *(f"{score}_{when}" for score in _SCORES for when in ("before", "after")),
    *_NUMBERS,
    "reasons",
    "remarks",
)
MANIFEST_HEADER = "\t".join(_COLUMNS)


def new_table(
    table: Table, cases: Sequence[Case], request: Request, records: Mapping[str, Record]
) -> str:
    """Return the new table as CSV text: a column per result, paths relative to the table.

    The cell of what failed is empty; a column of words beside each registered one has its verdict.
    """
    words = [name for name in ("split", "site") if name in table.columns]
    moved = [request.name_of(column) for column in request.moving]
    verdicts = {verdict_column(name): name for name in moved}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "patient", *words, *request.results, *verdicts, *request.keep])
    for case in cases:
        record = records[case.name]
        found = {result.name: result for result in record.results}
        cells = [
            f"{case.name}/{found[name].file}" if name in found and found[name].file else ""
            for name in request.results
        ]
        judged = [found[name].verdict if name in found else "" for name in verdicts.values()]
        kept = [case.row.word(name) or "" for name in (*words, *request.keep)]
        row = [case.name, case.row.patient, *kept[: len(words)], *cells, *judged]
        writer.writerow([*row, *kept[len(words) :]])
    return text.getvalue()


def manifest(records: Sequence[Record]) -> str:
    """Return the manifest as tab-separated text: a line per case and result."""
    lines = [MANIFEST_HEADER]
    for record in records:
        lines += [_line(record.case, result) for result in record.results]
        if record.problems:
            lines.append(_failed(record))
    return "\n".join(lines) + "\n"


def _line(case: str, result: Result) -> str:
    codes = dict.fromkeys(problem.code for problem in result.problems)
    scores = [
        _number(part.get(score)) for score in _SCORES for part in (result.before, result.after)
    ]
    numbers = [_number(result.numbers.get(name)) for name in _NUMBERS]
    cells = [case, result.name, result.kind, result.verdict, ",".join(codes), *scores, *numbers]
    return "\t".join(map(_cell, [*cells, "; ".join(result.reasons), "; ".join(result.remarks)]))


def _failed(record: Record) -> str:
    """Return the line of a case of which nothing could be made."""
    codes = dict.fromkeys(problem.code for problem in record.problems)
    cells = [record.case, "", "case", "failed", ",".join(codes)]
    empty = [""] * (len(_COLUMNS) - len(cells) - 2)
    reasons = "; ".join(problem.message for problem in record.problems)
    return "\t".join(map(_cell, [*cells, *empty, reasons, ""]))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _cell(text: str) -> str:
    """Return text without the signs that end a cell or a line."""
    return " ".join(text.split())
