"""An honest unpaired table out of a paired cohort: no patient is in both domains."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from medgen.config import Split
from medgen.data.rows import Row, Table
from medgen.data.splits import assign_splits
from medgen.data.table import read_table
from medgen.files import write_text
from medgen.problems import ConfigurationError, Problem

LEAST = 2
"""Training patients that two domains take."""


def unpaired_table(
    data: Path,
    output: Path,
    *,
    source: str,
    target: str,
    split: Split,
    target_share: float = 0.5,
) -> Path:
    """Write a table in which each training patient shows one of two columns, and return its path.

    Cases that hold both columns of `data` are divided by patient: by its `split` column, else by
    the shares and the seed of `split`, as a paired training of those cases would. Training patients
    are then dealt by the same seed to the source and to the target; `target_share` of them, rounded
    and at least one for each, go to the target. Validation keeps the source alone; test and
    calibrate keep both columns, the truth that training never sees. Cells lead to the files of
    `data`; of the other columns `patient` and `site` stay. The same call again changes nothing.

    Raises:
        ConfigurationError: `data` is refused; E_UNPAIRED_COLUMNS, E_UNPAIRED_SHARE,
            E_UNPAIRED_TOO_FEW; E_SPLIT_TOO_FEW; E_OUTPUT_IS_INPUT; E_EXISTS where another table is
            in the way.
    """
    _check(data, output, source, target, target_share)
    table = read_table(data, columns=[source, target])
    both = replace(table, rows=table.select({}, filled=[source, target]))
    if not both.rows:
        message = f"none of {len(table.rows)} cases has both {source} and {target}"
        advice = "the truth of test cases comes from pairs; check the columns"
        raise ConfigurationError(Problem("E_UNPAIRED_TOO_FEW", message, advice))
    divided = assign_splits(both, split)
    kept = _kept(both, divided, (source, target), target_share, split.seed)
    text = _text(both, divided, kept, output.parent.resolve(), (source, target))
    if not output.exists():
        write_text(output, text)
    elif output.read_bytes() != text.encode():
        message = "another table is where the unpaired one would go"
        advice = "choose another place, or remove it if it was made with other settings"
        raise ConfigurationError(Problem("E_EXISTS", message, advice))
    return output


def _check(data: Path, output: Path, source: str, target: str, target_share: float) -> None:
    """Refuse what cannot be asked for."""
    problems = []
    if source == target:
        message = f"{source!r} is named as source and as target"
        problems.append(Problem("E_UNPAIRED_COLUMNS", message, "name two columns"))
    if not 0.0 < target_share < 1.0:
        message = f"the target's share of patients lies between 0 and 1, got {target_share:g}"
        problems.append(Problem("E_UNPAIRED_SHARE", message, "0.5 makes the domains alike in size"))
    if data.resolve() == output.resolve():
        message = "the new table would replace the one that it is made of"
        problems.append(Problem("E_OUTPUT_IS_INPUT", message, "choose another place"))
    if problems:
        raise ConfigurationError(problems)


def _kept(
    table: Table,
    divided: Mapping[str, Sequence[str]],
    columns: tuple[str, str],
    target_share: float,
    seed: int,
) -> dict[str, tuple[str, ...]]:
    """Return the columns that each case keeps; a case without a split is absent."""
    source, target = columns
    patients = {row.case: row.patient.casefold() for row in table.rows}
    trained = {patients[case] for case in divided["train"]}
    if len(trained) < LEAST:
        message = f"{len(trained)} training patients cannot fill two domains"
        advice = f"{LEAST} at least: add patients with both images, or hold out fewer"
        raise ConfigurationError(Problem("E_UNPAIRED_TOO_FEW", message, advice))
    order = sorted(trained, key=lambda patient: _rank(seed, patient))
    count = min(max(1, round(target_share * len(order))), len(order) - 1)
    targets = set(order[:count])
    kept: dict[str, tuple[str, ...]] = {}
    for name, cases in divided.items():
        for case in cases:
            if name == "train":
                kept[case] = (target,) if patients[case] in targets else (source,)
            else:
                kept[case] = (source,) if name == "validation" else columns
    return kept


def _rank(seed: int, patient: str) -> str:
    """Return what patients are dealt by: not the hash that orders them for the splits."""
    return hashlib.sha256(f"domain\n{seed}\n{patient}".encode()).hexdigest()


def _text(
    table: Table,
    divided: Mapping[str, Sequence[str]],
    kept: Mapping[str, tuple[str, ...]],
    folder: Path,
    columns: tuple[str, str],
) -> str:
    """Return the new table as CSV text, its paths as seen from its folder."""
    names = {case: name for name, cases in divided.items() for case in cases}
    sited = [name for name in ("site",) if name in table.columns]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "patient", *sited, "split", *columns])
    for row in table.rows:
        cells = [_cell(row, name, folder) if name in kept[row.case] else "" for name in columns]
        words = [row.word(name) or "" for name in sited]
        writer.writerow([row.case, row.patient, *words, names[row.case], *cells])
    return text.getvalue()


def _cell(row: Row, column: str, folder: Path) -> str:
    """Return the cell that leads to the same file; its last part may be a choice (`#echo=2`)."""
    path = row.cells[column]
    return Path(os.path.relpath(path.parent.resolve() / path.name, folder)).as_posix()
