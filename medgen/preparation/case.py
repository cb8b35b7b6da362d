"""One case from its files to its folder: everything that a preparation makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from medgen.data.masks import Mask, outline
from medgen.files import sha256_of_file, write_bytes
from medgen.preparation.aligning import (
    Aligned,
    Mover,
    Still,
    align,
    mover_of,
    refusal_of,
    scores_of,
    unit_remarks,
)
from medgen.preparation.bias import evened
from medgen.preparation.brain import brain_mask
from medgen.preparation.cases import Case
from medgen.preparation.labels import label_problems
from medgen.preparation.picture import picture_of, picture_of_masks
from medgen.preparation.record import Kind, Outcome, Result
from medgen.preparation.request import MASKS_PICTURE, Request
from medgen.preparation.transforms import write_transform
from medgen.problems import ConfigurationError, MedgenError, Problem, Refusal, problems_of
from medgen.volumes import (
    Volume,
    open_volume,
    resample,
    warp,
    working_grid,
    write_volume,
)
from medgen.volumes.writing import StoredType

SUFFIX = ".nii.gz"
WIDELY_SEEN = 0.9
"""A share of the body below which it is worth a remark that an image shows no more of it."""

Step = Callable[[str], None]


@dataclass
class Bench:
    """Work on one case, column by column; a column that fails leaves the others alone."""

    case: Case
    request: Request
    folder: Path
    step: Step
    results: list[Result] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    aligned: dict[str, Aligned] = field(default_factory=dict)
    """The registrations that may be used, by moving column."""
    drawn: dict[str, Mask] = field(default_factory=dict)
    """Masks and labels, to be pictured."""
    unsampled: Volume | None = None
    """The fixed image on its own grid, where it was resampled."""

    def work(self) -> None:
        """Make everything that is asked of this case.

        Raises:
            MedgenError: where the fixed image cannot be used, so that nothing can be made.
        """
        if self.case.problem is not None:
            raise Refusal(self.case.problem)
        still = self._fixed()
        for column in self.request.moving:
            if column in self.case.inputs:
                with self._apart(column, "moved"):
                    self._moving(column, still)
        for column, along in self.request.carry.items():
            if column in self.case.inputs:
                with self._apart(column, "carried"):
                    self._carried(column, along, still)
        for name in self.request.masks:
            with self._apart(name, "mask"):
                self._mask(name, still)
        if self.drawn:
            picture = picture_of_masks(still, self.drawn, fixed=self.request.fixed)
            self._keep_picture(MASKS_PICTURE, picture)

    @contextmanager
    def _apart(self, column: str, kind: Kind) -> Iterator[None]:
        """Turn what goes wrong with one column into its result."""
        name = column if kind == "mask" else self.request.name_of(column)
        try:
            yield
        except ConfigurationError:  # what the call asks for cannot be had, in no case
            raise
        except Exception as error:
            problems = tuple(
                problem.at(column=column) for problem in problems_of(error, self.case.name)
            )
            codes = tuple(problem.message for problem in problems)
            self.results.append(Result(column, name, kind, "failed", codes, problems=problems))

    def _fixed(self) -> Still:
        """Read the fixed image, onto the grid of all results."""
        column = self.request.fixed
        try:
            volume, remarks = self._open(column)
        except MedgenError as error:
            raise error.at(column=column) from None
        grid, touched = volume.grid, column in self.request.n4
        if self.request.spacing_mm is not None:
            grid = working_grid(volume.grid, self.request.spacing_mm)
            touched |= not grid.same_as(volume.grid)
            self.unsampled = volume
            values = resample(volume.data, volume.grid, grid)
            volume = Volume(values, grid, volume.unit)
        try:
            body = outline(volume.data, unit=volume.unit, spacing_mm=grid.spacing_mm)
        except MedgenError as error:
            raise error.at(column=column) from None
        file = self._write(column, volume, interpolated=touched)
        self.results.append(Result(column, column, "fixed", "ok", file=file, remarks=remarks))
        return Still(volume, body)

    def _moving(self, column: str, still: Still) -> None:
        """Register a column, and pass it on unless the registration failed."""
        name = self.request.name_of(column)
        volume, remarks = self._open(column)
        self.step(f"{self.case.name}: {column} to {self.request.fixed}")
        mover = mover_of(volume)
        aligned = align(still, mover, self.request)
        self.step(f"{self.case.name}: {name}")
        file, transform = "", ""
        problems: tuple[Problem, ...] = ()
        if aligned.verdict.name == "failed":
            problems = (refusal_of(aligned.verdict).at(case=self.case.name, column=column),)
        else:
            self.aligned[column] = aligned
            moved = Volume(aligned.after.values, still.volume.grid, volume.unit)
            file = self._write(name, moved, interpolated=True)
            transform = self._write_transform(column, aligned, still)
        numbers = aligned.numbers(still.body, still.volume.grid)
        share = numbers["seen"]
        if share is not None and share < WIDELY_SEEN:
            remarks += (f"it does not show the whole body; beyond its view it is {_told(mover)}",)
        self.results.append(
            Result(
                column,
                name,
                "moved",
                aligned.verdict.name,
                aligned.verdict.reasons,
                file,
                self._write_picture(name, column, aligned, still),
                transform,
                numbers,
                scores_of(aligned.before.agreement),
                scores_of(aligned.after.agreement),
                remarks,
                problems,
            )
        )

    def _carried(self, column: str, along: str, still: Still) -> None:
        """Carry labels the way that their image went; each voxel takes the nearest label."""
        name = self.request.name_of(column)
        volume = self._read(column)
        problems = label_problems(volume.data)
        if problems:
            raise Refusal(problems)
        grid = still.volume.grid
        verdict: Outcome = "ok"
        reasons: tuple[str, ...] = ()
        if along == self.request.fixed:
            values = resample(volume.data, volume.grid, grid, order=0, outside=0.0)
        elif along in self.aligned:
            found = self.aligned[along]
            motion = found.motion
            values = warp(
                volume.data,
                volume.grid,
                grid,
                matrix=motion.matrix,
                displacement_mm=motion.displacement_mm,
                order=0,
                outside=0.0,
            )
            verdict, reasons = found.verdict.name, found.verdict.reasons
        else:
            reason = f"{along} was not registered, so nothing rides along with it"
            self.results.append(Result(column, name, "carried", "failed", (reason,)))
            return
        file = self._write(name, Volume(values, grid, "label"))
        if values.any():
            self.drawn[name] = values > 0
        self.results.append(Result(column, name, "carried", verdict, reasons, file))

    def _mask(self, name: str, still: Still) -> None:
        """Make one of the masks that are asked for."""
        self.step(f"{self.case.name}: {name}")
        volume = still.volume
        if name == "body":
            mask = still.body
        elif name == "brain":
            mask = self._brain(still)
        else:
            mask = still.body.copy()
            for aligned in self.aligned.values():
                mask &= aligned.after.seen
        file = self._write(name, volume.with_data(mask.astype(np.uint8), unit="mask"))
        self.drawn[name] = mask
        millilitres = float(f"{mask.sum() * volume.grid.voxel_mm3 / 1000:.6g}")
        result = Result(name, name, "mask", "ok", file=file, numbers={"ml": millilitres})
        self.results.append(result)

    def _brain(self, still: Still) -> Mask:
        """Find the brain on the fixed image's own grid: resampling blurs the dark of the skull."""
        own, grid = self.unsampled, still.volume.grid
        if own is None:
            return brain_mask(still.volume.data, grid, still.body)
        body = outline(own.data, unit=own.unit, spacing_mm=own.grid.spacing_mm)
        mask = brain_mask(own.data, own.grid, body).astype(np.float32)
        return resample(mask, own.grid, grid, outside=0.0) >= 0.5

    def _read(self, column: str) -> Volume:
        volume = open_volume(self.case.inputs[column], nan_to=self.request.nan_to)
        return replace(volume, unit=self.request.unit_of(column))

    def _open(self, column: str) -> tuple[Volume, tuple[str, ...]]:
        """Read an image, evened out where asked, with what is to be said about it."""
        self.step(f"{self.case.name}: {column}")
        volume = self._read(column)
        remarks = tuple(unit_remarks(volume))
        if column in self.request.n4:
            body = outline(volume.data, unit=volume.unit, spacing_mm=volume.grid.spacing_mm)
            volume = volume.with_data(evened(volume.data, volume.grid, body))
        return volume, remarks

    def _write(self, name: str, volume: Volume, *, interpolated: bool = False) -> str:
        """Write a volume: HU as whole numbers, other integers too unless they were interpolated."""
        file = f"{name}{SUFFIX}"
        dtype = stored_type(volume, interpolated=interpolated)
        self.files[file] = write_volume(self.folder / file, volume, dtype=dtype).digest
        return file

    def _write_transform(self, column: str, aligned: Aligned, still: Still) -> str:
        names = write_transform(
            self.folder, column, self.request.fixed, aligned.motion, still.volume.grid
        )
        for name in names:
            self.files[name] = sha256_of_file(self.folder / name)
        return names[0]

    def _write_picture(self, name: str, column: str, aligned: Aligned, still: Still) -> str:
        picture = picture_of(still, aligned, fixed=self.request.fixed, moving=column)
        return self._keep_picture(f"{name}.png", picture)

    def _keep_picture(self, file: str, picture: bytes) -> str:
        write_bytes(self.folder / file, picture)
        self.files[file] = sha256_of_file(self.folder / file)
        return file


def stored_type(volume: Volume, *, interpolated: bool) -> StoredType:
    """Return the smallest type that keeps a volume's values; whole HU are exact enough."""
    if volume.unit == "HU":
        return "int16"
    if interpolated:
        return "float32"
    low, high = float(volume.data.min()), float(volume.data.max())
    whole = volume.data.dtype.kind in "bui" or volume.unit == "label"
    if whole and low >= 0 and high <= 255:
        return "uint8"
    return "int16" if whole and low >= -32768 and high <= 32767 else "float32"


def _told(mover: Mover) -> str:
    return f"{mover.empty:g} HU" if mover.volume.unit == "HU" else "its own smallest value"
