"""Coded errors: what is wrong, where, and what to do next.

A message names the case and the column, never a path or a header string: hospital paths and
headers contain patients' names. The command line may add a path on the terminal only.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from types import TracebackType


class Exit(IntEnum):
    """The process exit codes of every verb."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    NOTHING_FOUND = 3
    ALL_FAILED = 4
    GUARD = 5
    SOME_FAILED = 8
    INTERRUPTED = 130


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: a stable code, one line of what, one line of what to do."""

    code: str
    message: str
    advice: str = ""
    case: str | None = None
    column: str | None = None

    def at(self, *, case: str | None = None, column: str | None = None) -> Problem:
        """Return the same problem, placed in a case and a column of the table."""
        return replace(self, case=case or self.case, column=column or self.column)

    def __str__(self) -> str:
        where = [f"case {self.case}"] if self.case else []
        where += [f"column {self.column}"] if self.column else []
        place = f" [{', '.join(where)}]" if where else ""
        advice = f" -> {self.advice}" if self.advice else ""
        return f"{self.code}{place}: {self.message}{advice}"

    def as_json(self) -> dict[str, str]:
        """Return the problem as a JSON object without empty fields."""
        fields = {
            "code": self.code,
            "message": self.message,
            "advice": self.advice,
            "case": self.case,
            "column": self.column,
        }
        return {name: value for name, value in fields.items() if value}


class MedgenError(Exception):
    """Something the user can mend; carries every problem found, not only the first."""

    exit_code: Exit = Exit.INTERNAL

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def at(self, *, case: str | None = None, column: str | None = None) -> MedgenError:
        """Return the same error with its problems placed in a case and a column."""
        return type(self)([problem.at(case=case, column=column) for problem in self.problems])


class Refusal(MedgenError):
    """A volume or a case that cannot be used as it is."""

    exit_code = Exit.ALL_FAILED


class ConfigurationError(MedgenError):
    """A command line, configuration or table that cannot mean what it says."""

    exit_code = Exit.USAGE


class NothingFound(MedgenError):
    """There is nothing to work on."""

    exit_code = Exit.NOTHING_FOUND


class GuardStop(MedgenError):
    """Training was stopped because going on would waste the machine."""

    exit_code = Exit.GUARD


class Interrupted(MedgenError):
    """The user or the system asked to stop; the work can be resumed."""

    exit_code = Exit.INTERRUPTED


def problems_of(error: Exception, case: str) -> tuple[Problem, ...]:
    """Return the coded problems of whatever a case ended with.

    The messages of strangers are dropped: they may hold paths.
    """
    if isinstance(error, MedgenError):
        return error.at(case=case).problems
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        advice = "free memory, or use a machine with more of it"
        return (Problem("E_OUT_OF_MEMORY", "the memory does not suffice", advice, case),)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (Problem("E_DISK_FULL", "the disk is full", "free space, then run again", case),)
    message = f"internal error: {type(error).__name__}{_place(error.__traceback__)}"
    return (Problem("E_INTERNAL", message, "please report it", case),)


def _place(trace: TracebackType | None) -> str:
    """Return the innermost line, without its folder."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f" at line {trace.tb_lineno} of {Path(trace.tb_frame.f_code.co_filename).name}"
