"""The proposed table: written, read back by the reader every verb uses, and only then named."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path, PurePath

from medgen.data.table import read_table
from medgen.discovery.columns import ordered
from medgen.discovery.findings import Finding
from medgen.discovery.grouping import Case
from medgen.files import replacing
from medgen.problems import ConfigurationError, Problem

_RISKY = ("=", "+", "-", "@", " ", "#")


def write_table(cases: Sequence[Case], root: Path, output: Path) -> None:
    """Write a table with paths relative to itself; it is whole and readable, or absent.

    `site` and `split` are columns only where they tell cases apart. Raises ConfigurationError with
    the reader's problems, or E_OUTPUT.
    """
    columns = ordered([column for case in cases for column in case.cells])
    words = [name for name in ("site", "split") if len({getattr(c, name) for c in cases}) > 1]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "patient", *words, *columns])
    for case in cases:
        paths = [case.cells[c].entry.path if c in case.cells else None for c in columns]
        cells = [cell_of(root, output, path) if path is not None else "" for path in paths]
        writer.writerow([case.case, case.patient, *(getattr(case, w) for w in words), *cells])
    try:
        with replacing(output) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8", newline="")
            read_table(temporary, columns=columns)
    except OSError as error:
        message = f"the table cannot be written: {error.strerror or 'unknown reason'}"
        problem = Problem("E_OUTPUT", message, "check --output and its disk")
        raise ConfigurationError(problem) from None


def settle_splits(cases: Sequence[Case]) -> list[Finding]:
    """Keep the splits that folders name where every case has one and no patient has two.

    Otherwise empty them all: training then deals patients itself.
    """
    splits: dict[str, set[str]] = {}
    for case in cases:
        splits.setdefault(case.patient.casefold(), set()).add(case.split)
    named = {case.split for case in cases} - {""}
    if not named:
        return []
    findings = []
    for case in cases:
        theirs = splits[case.patient.casefold()] - {""}
        if len(theirs) > 1:
            message = f"its patient is in the splits {' and '.join(sorted(theirs))}"
            advice = "no split column was written; keep a patient in one folder"
            problem = Problem("E_SPLIT_LEAK", message, advice, case.case)
            findings.append(Finding(problem, refused=False))
    unnamed = sum(not case.split for case in cases)
    if unnamed:
        message = f"{unnamed} of {len(cases)} cases lie in no folder that names a split"
        advice = "no split column was written; training deals patients itself"
        findings.append(Finding(Problem("E_SPLIT_PARTIAL", message, advice), refused=False))
    if findings:
        for case in cases:
            case.split = ""
    return findings


def cell_of(root: Path, output: Path, path: PurePath) -> str:
    """Return a path below `root` relative to the table, safe to open in a spreadsheet."""
    cell = os.path.relpath(root.resolve() / path, output.parent.resolve())
    return f"./{cell}" if cell.startswith(_RISKY) or cell[0].isspace() else cell
