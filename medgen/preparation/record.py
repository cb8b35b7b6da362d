"""What became of a case: the JSON in its folder, which decides what need not be done again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from medgen.files import sha256_of_file, write_json
from medgen.problems import Problem

FILE_NAME = "prepared.json"
FORMAT = 1
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
PASSING = frozenset(
    {
        "E_INTERNAL",
        "E_OUT_OF_MEMORY",
        "E_DISK_FULL",
        "E_UNWRITABLE",
        "E_UNREADABLE",
        "E_MISSING_FILE",
    }
)
"""Codes of what may be over at the next call, though the files are the same."""

Kind = Literal["fixed", "moved", "carried", "mask"]
Outcome = Literal["ok", "doubtful", "failed"]


@dataclass(frozen=True)
class Result:
    """What became of one column of a case."""

    column: str
    """The column that it was made of."""
    name: str
    """The column that it is in the new table."""
    kind: Kind
    verdict: Outcome
    reasons: tuple[str, ...] = ()
    file: str = ""
    """In the case's folder; empty where there is none."""
    picture: str = ""
    transform: str = ""
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    before: Mapping[str, float | None] = field(default_factory=dict)
    after: Mapping[str, float | None] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Record:
    """What became of one case; a `started` one was being worked on when the process ended."""

    case: str
    status: Literal["started", "done"]
    settings_digest: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    """The digests of the files read, by column."""
    results: tuple[Result, ...] = ()
    problems: tuple[Problem, ...] = ()
    """What kept the whole case from being worked on."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The digests of the files written, by name; of a `started` case, of all that it may hold.

    Those have no digests: nobody knows how far the work on them went.
    """
    seconds: float = 0.0

    @property
    def verdict(self) -> Outcome:
        """The worst of the case's verdicts."""
        found = {result.verdict for result in self.results}
        if self.problems or "failed" in found:
            return "failed"
        return "doubtful" if "doubtful" in found else "ok"

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        """The problems of the case and of its columns."""
        return (*self.problems, *(p for result in self.results for p in result.problems))

    @property
    def lasting(self) -> bool:
        """Whether doing it again with the same files would end the same way."""
        passing = any(problem.code in PASSING for problem in self.all_problems)
        return self.status == "done" and not passing

    def result(self, name: str) -> Result | None:
        """Return the result that is this column of the new table."""
        return next((result for result in self.results if result.name == name), None)

    def write(self, folder: Path) -> None:
        """Write the record into the case's folder."""
        write_json(folder / FILE_NAME, self._as_json())

    def changed(self, folder: Path) -> list[str]:
        """Return the names of files that are not what a record of done work says."""
        if self.status == "started":
            return []
        return [
            name for name, digest in self.files.items() if digest_there(folder / name) != digest
        ]

    def _as_json(self) -> dict[str, Any]:
        results = [
            vars(result) | {"problems": [problem.as_json() for problem in result.problems]}
            for result in self.results
        ]
        problems = [problem.as_json() for problem in self.problems]
        return vars(self) | {"format": FORMAT, "results": results, "problems": problems}


def read_record(folder: Path) -> Record | None:
    """Return the record in a case's folder, or None where there is no sound one."""
    try:
        content = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            return None
        record = Record(**content)
        # Files of these names are deleted before a case is done again: none may lie elsewhere.
        if not all(map(_PLAIN_NAME.fullmatch, record.files)):
            return None
        results = tuple(_result(result) for result in content["results"])
        return replace(record, results=results, problems=_problems(content["problems"]))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def digest_there(path: Path) -> str:
    """Return the digest of a file, or nothing where it cannot be read."""
    try:
        return sha256_of_file(path)
    except OSError:
        return ""


def _result(content: dict[str, Any]) -> Result:
    words = {key: tuple(content[key]) for key in ("reasons", "remarks")}
    return Result(**(content | words | {"problems": _problems(content["problems"])}))


def _problems(content: list[dict[str, str]]) -> tuple[Problem, ...]:
    return tuple(Problem(**problem) for problem in content)
