"""Parts of a cohort, which separate processes convert at once into one folder.

A part holds the folder together with other parts, which a process that converts all cases excludes,
and its own number alone. Names of these files start with a dot, as no case's does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from medgen.files import locked, sha256_of_json
from medgen.problems import ConfigurationError, Problem

_T = TypeVar("_T")
_TABLE = re.compile(r"\.part-([1-9]\d*)-of-([1-9]\d*)\.tsv")
_LOCK = re.compile(r"\.part-([1-9]\d*)-of-([1-9]\d*)\.lock")
_MERGING = ".merge.lock"


@dataclass(frozen=True)
class Part:
    """Every `count`-th case, from the `number`-th on."""

    number: int
    count: int

    @staticmethod
    def parse(text: str) -> Part:
        """Return the part that a text such as 3/8 names.

        Raises:
            ConfigurationError: E_PART.
        """
        match = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text, re.ASCII)
        number, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= count:
            message = f"the part {text!r} is none of 1/n to n/n"
            raise ConfigurationError(Problem("E_PART", message, "e.g. --part 3/8"))
        return Part(number, count)

    def share(self, items: Sequence[_T]) -> Sequence[_T]:
        """Return this part of a sorted list; the parts differ by one item at most."""
        return items[self.number - 1 :: self.count]

    @property
    def table(self) -> str:
        """Return the name of the table that the part's process appends to."""
        return f".part-{self.number}-of-{self.count}.tsv"

    @property
    def lock(self) -> str:
        """Return the name of the file that the part's process holds."""
        return f".part-{self.number}-of-{self.count}.lock"


def tables(folder: Path) -> list[Path]:
    """Return the tables that were not merged into the manifest yet."""
    found = list(folder.iterdir()) if folder.is_dir() else []
    return sorted(path for path in found if is_table(path.name))


def is_table(name: str) -> bool:
    """Tell whether a file's name is that of a part's table."""
    return _TABLE.fullmatch(name) is not None


@contextmanager
def holding(folder: Path, part: Part | None, cases: Sequence[str]) -> Iterator[None]:
    """Hold a folder alone, or one part of it.

    Args:
        folder: where the answers are.
        part: the part; None: the whole folder.
        cases: the sorted names of the cases of all parts.

    Raises:
        ConfigurationError: E_LOCKED where another process holds the folder or the part, or a part
            of another number of parts, or of other cases, so that two might have the same case.
    """
    if part is None:
        with locked(folder):
            yield
        return
    digest = sha256_of_json(list(cases))
    with locked(folder, shared=True), ExitStack() as stack:
        with merging(folder, part):
            for other in held(folder):
                _check_beside(part, other, digest, _note(folder / other.lock))
            note = stack.enter_context(locked(folder, part.lock))
            note.truncate(0)
            note.write(digest)
            note.flush()
        yield


@contextmanager
def merging(folder: Path, part: Part | None) -> Iterator[None]:
    """Keep other parts from starting and merging, and wait while one of them does."""
    if part is None:  # there are no others
        yield
        return
    with locked(folder, _MERGING, wait=True):
        yield


def held(folder: Path) -> list[Part]:
    """Return the parts that are being converted; to be called while `merging`."""
    return [part for part in _parts(folder, _LOCK) if _is_held(folder, part)]


def under_way(folder: Path) -> list[Part]:
    """Return the parts that may be replacing answers; to be called while `merging`.

    One that is held without a table has replaced nothing yet, or has merged all it had to say and
    is about to end: its last word stands.
    """
    return [part for part in held(folder) if (folder / part.table).exists()]


def forget_others(folder: Path, mine: Part | None) -> None:
    """Delete the tables and locks of parts that nobody converts, and the table of one's own."""
    for part in {*_parts(folder, _TABLE), *_parts(folder, _LOCK)}:
        if part == mine:
            (folder / part.table).unlink(missing_ok=True)
        elif not _is_held(folder, part):
            (folder / part.table).unlink(missing_ok=True)
            (folder / part.lock).unlink(missing_ok=True)


def _parts(folder: Path, name: re.Pattern[str]) -> list[Part]:
    matches = [name.fullmatch(path.name) for path in folder.iterdir()]
    return sorted(
        (Part(int(match[1]), int(match[2])) for match in matches if match),
        key=lambda part: (part.count, part.number),
    )


def _is_held(folder: Path, part: Part) -> bool:
    if not (folder / part.lock).exists():
        return False
    try:
        with locked(folder, part.lock):
            return False
    except ConfigurationError:
        return True


def _check_beside(part: Part, other: Part, digest: str, note: str) -> None:
    """Refuse a part beside another that is being converted.

    Raises:
        ConfigurationError: E_LOCKED.
    """
    theirs = f"another process converts part {other.number}/{other.count} of this folder"
    if other == part:
        advice = "give another --part, or wait for it to end"
        raise ConfigurationError(Problem("E_LOCKED", theirs, advice))
    if other.count != part.count:
        message = f"{theirs}, and this is part {part.number}/{part.count}"
        advice = "give every process the same number of parts, or wait for the other to end"
        raise ConfigurationError(Problem("E_LOCKED", message, advice))
    if note != digest:
        message = f"{theirs}, from another list of cases"
        advice = "give every process the same cases, or wait for the other to end"
        raise ConfigurationError(Problem("E_LOCKED", message, advice))


def _note(lock: Path) -> str:
    return lock.read_text(encoding="utf-8", errors="replace")
