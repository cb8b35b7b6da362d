"""What is asked of a cohort's conversion, and what became of it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal

import torch

from medgen.problems import Exit, MedgenError, Problem


@dataclass(frozen=True)
class Options:
    """What one call of `convert` asks for."""

    answer: str | None = None
    """Which of the method's answers; the first where left out."""
    nan_to: float | None = None
    """The value that non-finite source voxels take; refused where left out."""
    overwrite: bool = False
    """Replace answers of another model, changed answers, and files that medgen did not write."""
    fail_fast: bool = False
    """Leave the rest once a case has failed."""


Status = Literal["ok", "failed", "kept"]


@dataclass(frozen=True)
class Result:
    """What became of one case; `kept` was converted by an earlier call.

    `output` may be shown on the terminal but written nowhere, since paths contain names.
    """

    case: str
    status: Status
    output: Path | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of a cohort."""

    results: tuple[Result, ...]
    cases: int
    """How many there were; fewer results where the work was stopped."""
    interrupted: bool = False

    def count(self, status: Status) -> int:
        """Return how many cases ended so."""
        return sum(result.status == status for result in self.results)

    @property
    def exit_code(self) -> Exit:
        """Return the exit code that says what became of the cohort."""
        failed = self.count("failed")
        if self.interrupted:
            return Exit.INTERRUPTED
        if not failed:
            return Exit.OK
        return Exit.ALL_FAILED if failed == self.cases else Exit.SOME_FAILED


@dataclass(frozen=True)
class Watch:
    """What is called while a cohort is converted."""

    case: Callable[[Result], None] = field(default=lambda result: None)
    """After each case."""
    windows: Callable[[str, int, int], None] = field(default=lambda case, done, total: None)
    """After each batch of windows, with the case, the windows done and their number."""


def problems_of(error: Exception, case: str) -> tuple[Problem, ...]:
    """Return the coded problems of whatever a case ended with.

    The messages of strangers are dropped: they may hold paths.
    """
    if isinstance(error, MedgenError):
        return error.at(case=case).problems
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
        advice = "free memory, or use --device cpu"
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
