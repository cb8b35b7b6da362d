"""The manifest of an output folder: one line per case, appended as the work goes on.

A later line about a case replaces an earlier one. A line counts when it is complete: a process
killed while it wrote one leaves a torn last line, which is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from medgen.files import write_text
from medgen.problems import ConfigurationError, Problem

FILE_NAME = "manifest.tsv"

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
    """In a `failed` line: an earlier call's answer is still there, and the digests are its own."""
    dicom_digest: str = ""
    """Of the DICOM series, where one was written."""
    weights_digest: str = ""
    settings_digest: str = ""
    seconds: float = 0.0
    clipped_voxels: int = 0
    warnings: str = ""


COLUMNS = tuple(field.name for field in fields(Entry))
HEADER = "\t".join(COLUMNS)


class Manifest:
    """The manifest of one folder, read once and appended to."""

    def __init__(self, folder: Path) -> None:
        """Read the folder's manifest, if it has one.

        Raises:
            ConfigurationError: E_MANIFEST_FOREIGN where a file of that name is something else.
        """
        self._path = folder / FILE_NAME
        self._entries: dict[str, Entry] = {}
        text = _read(self._path)
        header, *lines = text.split("\n")
        if not lines and HEADER.startswith(header):  # nothing, or a torn header
            return
        if header != HEADER:
            message = f"{FILE_NAME} in the output folder was not written by this version of convert"
            advice = "choose another --output, or move that file away"
            raise ConfigurationError(Problem("E_MANIFEST_FOREIGN", message, advice))
        for line in lines[:-1]:  # what follows the last line break is torn
            entry = _parse(line)
            if entry is not None:
                self._entries[entry.case] = entry

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
    return "; ".join(filter(None, map(cell, parts)))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _line(entry: Entry) -> str:
    return "\t".join(cell(str(value)) for value in asdict(entry).values())


def _parse(line: str) -> Entry | None:
    """Return the entry of a line, or None where it is torn or damaged."""
    cells = line.split("\t")
    if len(cells) != len(COLUMNS):
        return None
    case, status, code, source, output, dicom, weights, settings, seconds, clipped, warnings = cells
    if status not in ("started", "ok", "failed"):
        return None
    try:
        return Entry(
            case=case,
            status=status,  # type: ignore[arg-type]
            code=code,
            input_digest=source,
            output_digest=output,
            dicom_digest=dicom,
            weights_digest=weights,
            settings_digest=settings,
            seconds=float(seconds),
            clipped_voxels=int(clipped),
            warnings=warnings,
        )
    except ValueError:
        return None
