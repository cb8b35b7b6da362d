"""The manifest of an output folder: one line per case, appended as the work goes on.

A later line about a case replaces an earlier one. A line counts when it is complete: a process
killed while it wrote one leaves a torn last line, which is passed over. While the parts of a cohort
are converted at once, each appends to a table of its own, whose lines are later than the manifest's
until they are merged into it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from medgen.cohort.parts import Part, tables
from medgen.files import write_text
from medgen.problems import ConfigurationError, Problem

FILE_NAME = "manifest.tsv"

BETWEEN = "; "
"""What stands between several texts in one cell."""

Status = Literal["started", "ok", "failed"]
"""`started` remains where the process was killed in the middle of a case."""


@dataclass(frozen=True)
class Entry:
    """What the manifest says of one case; digests are SHA-256 in hexadecimal."""

    case: str
    status: Status
    code: str = ""
    """The codes of what went wrong, separated by commas."""
    input_digest: str = ""
    output_digest: str = ""
    """In a line that is not `ok`: an earlier call's answer may be there; all digests are its."""
    dicom_digest: str = ""
    """Of the DICOM series, where one was written."""
    weights_digest: str = ""
    settings_digest: str = ""
    seconds: float = 0.0
    clipped_voxels: int = 0
    warnings: str = ""
    verdict: str = ""
    """pass, warn or fail: whether the answer may be believed; empty where nobody looked."""
    reasons: str = ""
    """Why the verdict is what it is, the worst first."""


COLUMNS = tuple(field.name for field in fields(Entry))
HEADER = "\t".join(COLUMNS)
HEADERS = ("\t".join(COLUMNS[:-2]), HEADER)
"""Every version's, the oldest first; each has the columns of those before."""


class Manifest:
    """The manifest of one folder, read once and appended to."""

    def __init__(self, folder: Path, part: Part | None = None) -> None:
        """Read the folder's manifest, if it has one, and what parts have not merged into it yet.

        Args:
            folder: where the answers are.
            part: the part whose table is appended to instead of the manifest itself.

        Raises:
            ConfigurationError: E_MANIFEST_FOREIGN where a file of that name is something else.
        """
        self._path = folder / (FILE_NAME if part is None else part.table)
        # The tables first: one that is merged and deleted meanwhile is in the manifest by then.
        later = [entry for path in tables(folder) for entry in _read(path)]
        self._entries = {entry.case: entry for entry in (*_read(folder / FILE_NAME), *later)}

    def get(self, case: str) -> Entry | None:
        """Return the last word on a case."""
        return self._entries.get(case)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Return the last word on every case."""
        return tuple(self._entries.values())

    def tidy(self) -> None:
        """Rewrite the file with one whole line per case, in order of their names."""
        self._entries = dict(sorted(self._entries.items()))
        lines = [HEADER, *map(_line, self._entries.values())]
        write_text(self._path, "\n".join(lines) + "\n")

    def begin(self) -> None:
        """Write an empty table, for what is to be added."""
        write_text(self._path, f"{HEADER}\n")

    def add(self, entry: Entry) -> None:
        """Append an entry; it is on the disk when this returns. The file must be tidy."""
        with self._path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(_line(entry) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._entries[entry.case] = entry


def cell(text: str) -> str:
    """Return text that is one cell for every reader.

    Control characters become blanks, and a leading = + - @ gets a quote in front, since
    spreadsheets would run such a cell as a formula.
    """
    plain = "".join(character if character.isprintable() else " " for character in text).strip()
    return f"'{plain}" if plain[:1] in ("=", "+", "-", "@") else plain


def join(parts: Iterable[str]) -> str:
    """Return several texts as one cell."""
    return BETWEEN.join(filter(None, map(cell, parts)))


def _read(path: Path) -> Iterator[Entry]:
    """Yield the entries of a table's whole lines; none where it is not there.

    Raises:
        ConfigurationError: E_MANIFEST_FOREIGN.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    header, *lines = text.split("\n")
    if not lines and HEADER.startswith(header):  # nothing, or a torn header
        return
    if header not in HEADERS:
        message = f"{FILE_NAME} in the output folder was not written by this version of convert"
        advice = "choose another --output, or move that file away"
        raise ConfigurationError(Problem("E_MANIFEST_FOREIGN", message, advice))
    columns = header.count("\t") + 1
    for line in lines[:-1]:  # what follows the last line break is torn
        entry = _parse(line.split("\t"), columns)
        if entry is not None:
            yield entry


def _line(entry: Entry) -> str:
    return "\t".join(cell(str(value)) for value in asdict(entry).values())


def _parse(cells: list[str], columns: int) -> Entry | None:
    """Return the entry of a line, or None where it is torn or damaged."""
    named: dict[str, Any] = dict(zip(COLUMNS[:columns], cells, strict=False))
    if len(cells) != columns or named["status"] not in ("started", "ok", "failed"):
        return None
    try:
        named["seconds"] = float(named["seconds"])
        named["clipped_voxels"] = int(named["clipped_voxels"])
    except ValueError:
        return None
    return Entry(**named)
