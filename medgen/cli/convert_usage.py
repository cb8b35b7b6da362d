"""What may be wrong with the command line of `convert`, before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from medgen.problems import ConfigurationError, Problem

if TYPE_CHECKING:
    from medgen.cohort.cases import Format

LEAST_GB = 0.5
"""Below this not even the libraries have room."""


@dataclass(frozen=True)
class Usage:
    """The options that depend on each other."""

    volumes: Path | None
    data: Path | None
    split: str | None
    nan_to: float | None
    template: Path | None
    formats: Sequence[str]
    limit_gb: float | None
    executor: str
    cores_per_worker: int | None

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ConfigurationError: E_USAGE, all of it.
        """
        problems = [*self._inputs(), *self._machines()]
        if problems:
            raise ConfigurationError(problems)

    def _inputs(self) -> list[Problem]:
        problems = []
        if (self.volumes is None) == (self.data is None):
            advice = "a volume or a folder by --input, a table by --data"
            problems.append(Problem("E_USAGE", "give either --input or --data", advice))
        if self.split is not None and self.data is None:
            problems.append(Problem("E_USAGE", "--split needs --data", "give a table by --data"))
        if self.nan_to is not None and not abs(self.nan_to) < float("inf"):
            message = "--nan-to must be a finite number"
            problems.append(Problem("E_USAGE", message, "e.g. --nan-to 0"))
        if self.template is not None and "dicom" not in self.formats:
            advice = "add --format dicom, or leave the template out"
            problems.append(Problem("E_USAGE", "--dicom-template needs --format dicom", advice))
        return problems

    def _machines(self) -> list[Problem]:
        problems = []
        if self.limit_gb is not None and not LEAST_GB <= self.limit_gb < float("inf"):
            message = f"--limit-memory is {self.limit_gb:g} GB, and not {LEAST_GB:g} or more"
            problems.append(Problem("E_USAGE", message, f"give {LEAST_GB:g} GB or more"))
        if self.executor not in ("local", "ray") and not self.executor.startswith("ray://"):
            message = "--executor is none of local, ray and ray://ADDRESS"
            problems.append(Problem("E_USAGE", message, "give one of these"))
        if self.cores_per_worker is not None and self.executor == "local":
            advice = "add --executor ray, or leave it out"
            problems.append(Problem("E_USAGE", "--cores-per-worker needs --executor ray", advice))
        return problems


def formats_of(text: str) -> tuple[Format, ...]:
    """Return what to write, in the order asked for.

    Raises:
        ConfigurationError: E_USAGE where a name is unknown or comes twice, or there is none.
    """
    named = [word.strip().lower() for word in text.split(",")]
    if not set(named) <= {"nifti", "dicom"} or len(set(named)) != len(named):
        message = "--format is none of nifti, dicom and nifti,dicom"
        raise ConfigurationError(Problem("E_USAGE", message, "give one of these"))
    return tuple(cast("list[Format]", named))
