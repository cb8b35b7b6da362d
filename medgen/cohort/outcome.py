"""What is asked of a cohort's conversion, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from medgen import problems
from medgen.cohort.cases import Format
from medgen.cohort.parts import Part
from medgen.problems import Exit, Problem


@dataclass(frozen=True)
class Options:
    """What one call of `convert` asks for."""

    formats: tuple[Format, ...] = ("nifti",)
    """What to write: volume files, DICOM series, or both."""
    template: Path | None = None
    """The DICOM series from which an answer to a source without headers is derived."""
    nan_to: float | None = None
    """The value that non-finite source voxels take; refused where left out."""
    overwrite: bool = False
    """Replace answers of another model, changed answers, and files that medgen did not write."""
    fail_fast: bool = False
    """Leave the rest once a case has failed."""
    part: Part | None = None
    """Convert only these of the cases, beside other processes that convert the others."""
    limit_bytes: int | None = None
    """Memory to stay within; None: what there is."""
    uncertainty: bool = False
    """Write how far several answers to a case differ."""


DEFAULTS = Options()

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
    verdict: str = ""
    """pass, warn or fail: whether the answer may be believed; empty where nobody looked."""
    reasons: tuple[str, ...] = ()
    """Why the verdict is what it is, the worst first."""


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
        doubted = any(result.verdict == "fail" for result in self.results)
        if self.interrupted:
            return Exit.INTERRUPTED
        if not (failed or doubted):
            return Exit.OK
        return Exit.ALL_FAILED if failed and failed == self.cases else Exit.SOME_FAILED


@dataclass(frozen=True)
class Watch:
    """What is called while a cohort is converted."""

    case: Callable[[Result], None] = field(default=lambda result: None)
    """After each case."""
    windows: Callable[[str, int, int], None] = field(default=lambda case, done, total: None)
    """After each batch of windows, with the case, the windows done and their number."""


UNWATCHED = Watch()


def problems_of(error: Exception, case: str) -> tuple[Problem, ...]:
    """Return the coded problems of whatever a case ended with; a device's memory counts too."""
    if isinstance(error, torch.OutOfMemoryError):
        advice = "free memory, or use --device cpu"
        return (Problem("E_OUT_OF_MEMORY", "the memory does not suffice", advice, case),)
    return problems.problems_of(error, case)
