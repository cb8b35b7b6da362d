"""What one call of `prepare` asks for, checked before any work is done."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import medgen
from medgen.data.rows import CASE_ID, RESERVED
from medgen.files import sha256_of_json
from medgen.problems import ConfigurationError, Problem

Transform = Literal["rigid", "affine", "deformable"]
TRANSFORMS: tuple[Transform, ...] = ("rigid", "affine", "deformable")
MASKS = ("body", "brain", "seen")
MASKS_PICTURE = "masks.png"


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which columns are registered to which, and what else is made of a case.

    Raises ConfigurationError with all that is wrong.
    """

    fixed: str
    """The column that stays where it is, and whose grid all results have."""
    moving: tuple[str, ...] = ()
    transform: Transform = "rigid"
    masks: tuple[str, ...] = ()
    """Of `MASKS`. `seen` is the part of the body that every registered image shows."""
    carry: Mapping[str, str] = field(default_factory=dict)
    """Labels and masks, each with the column that it was drawn on and rides along with."""
    hounsfield: tuple[str, ...] = ()
    """Columns in HU: no file of these formats says so."""
    n4: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    """Columns of words that the new table keeps."""
    spacing_mm: tuple[float, float, float] | None = None
    """Right-left, back-front, feet-head; the fixed column's own grid where left out."""
    min_overlap: float = 0.5
    """The least Dice of the body outlines after registration."""
    nan_to: float | None = None

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ConfigurationError(problems)

    @property
    def images(self) -> tuple[str, ...]:
        """The columns that are read as volumes."""
        return (self.fixed, *self.moving, *self.carry)

    @property
    def results(self) -> tuple[str, ...]:
        """The columns of volumes that the new table gets, in order."""
        return (*(self.name_of(column) for column in self.images), *self.masks)

    def name_of(self, column: str) -> str:
        """Return the name of a column's result: `flair_on_t1`, or its own on the fixed image."""
        stays = column == self.fixed or self.carry.get(column) == self.fixed
        return column if stays else f"{column}_on_{self.fixed}"

    def unit_of(self, column: str) -> str:
        """Return what a column's values measure."""
        return "HU" if column in self.hounsfield else "arbitrary"

    @property
    def files(self) -> tuple[str, ...]:
        """The names of all files that may be made of a case."""
        volumes = [f"{name}.nii.gz" for name in self.results]
        pictures = [MASKS_PICTURE, *(f"{self.name_of(column)}.png" for column in self.moving)]
        stems = [f"{column}_to_{self.fixed}" for column in self.moving]
        ends = (".json", ".tfm", "_warp.nii.gz")
        return (*volumes, *pictures, *(stem + end for stem in stems for end in ends))

    @property
    def digest(self) -> str:
        """The digest of all that decides what becomes of given files."""
        return sha256_of_json(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Return the request as JSON; what the new table keeps changes no volume."""
        return {
            "fixed": self.fixed,
            "moving": list(self.moving),
            "transform": self.transform,
            "masks": list(self.masks),
            "carry": dict(self.carry),
            "hounsfield": sorted(self.hounsfield),
            "n4": sorted(self.n4),
            "spacing_mm": None if self.spacing_mm is None else list(self.spacing_mm),
            "min_overlap": self.min_overlap,
            "nan_to": self.nan_to,
            "medgen": medgen.__version__,
        }

    def _problems(self) -> Iterator[Problem]:
        if not (self.moving or self.masks or self.n4 or self.spacing_mm):
            advice = "name columns by --moving, masks by --masks, or columns by --n4"
            yield _usage("there is nothing to do", advice)
        if self.transform not in TRANSFORMS:
            yield _usage(f"no transform {self.transform!r}", f"known: {', '.join(TRANSFORMS)}")
        for mask in self.masks:
            if mask not in MASKS:
                yield _usage(f"no mask {mask!r}", f"known: {', '.join(MASKS)}")
        if "brain" in self.masks and self.fixed in self.hounsfield:
            yield _usage("the brain mask needs a T1 as --fixed, not a CT", "take it out of --masks")
        if not 0 <= self.min_overlap <= 1:
            message = f"--min-overlap is a Dice from 0 to 1, not {self.min_overlap:g}"
            yield _usage(message, "for example 0.8")
        spacing = self.spacing_mm
        if spacing is not None and not all(0.1 <= step <= 20 for step in spacing):
            yield _usage("--spacing must be from 0.1 to 20 mm", "for example --spacing 1,1,1")
        if self.nan_to is not None and not math.isfinite(self.nan_to):
            yield _usage("--nan-to must be a finite number", "e.g. --nan-to 0")
        yield from self._column_problems()

    def _column_problems(self) -> Iterator[Problem]:
        """Find columns with two parts to play, with none, or with unusable names."""
        volumes = (self.fixed, *self.moving)
        for column in (*self.hounsfield, *self.n4):
            if column not in volumes:
                message = "--hu and --n4 name columns that are fixed or moving"
                yield Problem("E_USAGE", message, f"those are: {', '.join(volumes)}", None, column)
        for column in set(self.hounsfield) & set(self.n4):
            message = "N4 evens out the coils of MR; this column is in HU"
            yield Problem("E_USAGE", message, "take it out of --n4", None, column)
        for column, along in self.carry.items():
            if along not in volumes:
                message = f"it cannot ride along with {along!r}, which is neither fixed nor moving"
                yield Problem("E_USAGE", message, f"those are: {', '.join(volumes)}", None, column)
        for column in self.images:
            if not CASE_ID.fullmatch(column):
                message = "the column's name would become a file's, but holds other signs"
                advice = "rename it with A-Z a-z 0-9 . _ -"
                yield Problem("E_COLUMN_NAME", message, advice, None, column)
        yield from _twice(self.images, "the column is given twice", "name it once")
        own = (*RESERVED, *self.keep, *self.results)
        own += tuple(verdict_column(self.name_of(column)) for column in self.moving)
        if len(set(self.images)) == len(self.images):
            yield from _twice(own, "the new table would have this column twice", "rename it")


def verdict_column(result: str) -> str:
    """Return the name of the column of words that says whether a registration may be used."""
    return f"{result}_verdict"


def _twice(names: Sequence[str], message: str, advice: str) -> Iterator[Problem]:
    for name, count in Counter(name.casefold() for name in names).items():
        if count > 1:
            yield Problem("E_USAGE", message, advice, None, name)


def _usage(message: str, advice: str) -> Problem:
    return Problem("E_USAGE", message, advice)
