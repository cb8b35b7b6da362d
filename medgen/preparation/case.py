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
    Motion,
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
from medgen.preparation.labels import alone, carried_labels, label_problems, place_problems
from medgen.preparation.picture import picture_of, picture_of_masks
from medgen.preparation.record import Kind, Outcome, Result
from medgen.preparation.request import MASKS_PICTURE, Request
from medgen.preparation.storing import stored_type
from medgen.preparation.transforms import write_transform
from medgen.problems import ConfigurationError, MedgenError, Problem, Refusal, problems_of
from medgen.volumes import (
    Grid,
    Volume,
    believing,
    open_volume,
    resample,
    working_grid,
    write_volume,
)

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
    grids: dict[str, Grid] = field(default_factory=dict)
    """The images' own grids, by column."""
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
            self._picture_masks(still)

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
            self._drop(column, name)

    def _drop(self, column: str, name: str) -> None:
        """Delete what was written of a column before it failed: nobody is to use half of it."""
        stem = f"{column}_to_{self.request.fixed}"
        ends = (".json", ".tfm", "_warp.nii.gz")
        for file in (f"{name}{SUFFIX}", f"{name}.png", *(stem + end for end in ends)):
            (self.folder / file).unlink(missing_ok=True)
            self.files.pop(file, None)

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
        file, clipped = self._write(column, volume, interpolated=touched)
        remarks += clipped
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
            moved = Volume(aligned.after.values, still.volume.grid, volume.unit)
            file, clipped = self._write(name, moved, interpolated=True)
            remarks += clipped
            transform = self._write_transform(column, aligned, still)
        numbers = aligned.numbers(still.body, still.volume.grid)
        share = numbers["seen"]
        if share is not None and share < WIDELY_SEEN:
            remarks += (f"it does not show the whole body; beyond its view it is {_told(mover)}",)
        picture = self._write_picture(name, column, aligned, still)
        if not problems:  # only now, when nothing can fail any more
            self.aligned[column] = aligned
        self.results.append(
            Result(
                column,
                name,
                "moved",
                aligned.verdict.name,
                aligned.verdict.reasons,
                file,
                picture,
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
        if along not in self.case.inputs:
            raise Refusal(alone(column, along))
        volume = self._read(column)
        problems = label_problems(volume.data)
        if along in self.grids:
            problems += place_problems(volume.grid, self.grids[along], along)
        if problems:
            raise Refusal(problems)
        grid, motion = still.volume.grid, Motion(np.eye(4))
        verdict: Outcome = "ok"
        reasons: tuple[str, ...] = ()
        if along in self.aligned:
            found = self.aligned[along]
            motion, verdict, reasons = found.motion, found.verdict.name, found.verdict.reasons
        elif along != self.request.fixed:
            reason = f"{along} was not registered, so nothing rides along with it"
            self.results.append(Result(column, name, "carried", "failed", (reason,)))
            return
        values, lost = carried_labels(volume, motion, grid)
        if lost:
            verdict, reasons = "doubtful", (*reasons, *lost)
        file, _ = self._write(name, Volume(values, grid, "label"))
        if values.any():
            self.drawn[name] = values > 0
        self.results.append(Result(column, name, "carried", verdict, reasons, file))

    def _mask(self, name: str, still: Still) -> None:
        """Make one of the masks that are asked for."""
        self.step(f"{self.case.name}: {name}")
        volume = still.volume
        verdict: Outcome = "ok"
        reasons: tuple[str, ...] = ()
        if name == "body":
            mask = still.body
        elif name == "brain":
            mask = self._brain(still)
        else:
            missing = [column for column in self.request.moving if column not in self.aligned]
            if missing:
                self.results.append(self._unseen(name, missing))
                return
            mask = still.body.copy()
            for column, aligned in self.aligned.items():
                mask &= aligned.after.seen
                if aligned.verdict.name == "doubtful":
                    verdict = "doubtful"
                    reasons += tuple(f"{column}: {reason}" for reason in aligned.verdict.reasons)
        file, _ = self._write(name, volume.with_data(mask.astype(np.uint8), unit="mask"))
        self.drawn[name] = mask
        millilitres = float(f"{mask.sum() * volume.grid.voxel_mm3 / 1000:.6g}")
        numbers = {"ml": millilitres}
        self.results.append(Result(name, name, "mask", verdict, reasons, file, numbers=numbers))

    def _unseen(self, name: str, missing: list[str]) -> Result:
        """Return the result of a mask of what all images show, where some show nothing."""
        empty = [column for column in missing if column not in self.case.inputs]
        message = "what every image shows is not known without "
        advice = f"fill the cell, or take {name} out of --masks"
        problems = tuple(
            Problem("E_COLUMN_EMPTY", f"{message}{column}: no image", advice, self.case.name, name)
            for column in empty
        )
        reasons = tuple(
            message + column + (": no image" if column in empty else ", which was not registered")
            for column in missing
        )
        return Result(name, name, "mask", "failed", reasons, problems=problems)

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
        return believing(volume, self.request.unit_of(column))

    def _open(self, column: str) -> tuple[Volume, tuple[str, ...]]:
        """Read an image, evened out where asked, with what is to be said about it."""
        self.step(f"{self.case.name}: {column}")
        volume = self._read(column)
        self.grids[column] = volume.grid
        remarks = tuple(unit_remarks(volume))
        if column in self.request.n4:
            body = outline(volume.data, unit=volume.unit, spacing_mm=volume.grid.spacing_mm)
            volume = volume.with_data(evened(volume.data, volume.grid, body))
        return volume, remarks

    def _write(
        self, name: str, volume: Volume, *, interpolated: bool = False
    ) -> tuple[str, tuple[str, ...]]:
        """Write a volume, and return the file's name and what is to be said about it."""
        file = f"{name}{SUFFIX}"
        dtype = stored_type(volume, interpolated=interpolated)
        written = write_volume(self.folder / file, volume, dtype=dtype)
        self.files[file] = written.digest
        if not written.clipped_voxels:
            return file, ()
        return file, (f"{written.clipped_voxels} voxels lay beyond {dtype} and were clipped",)

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

    def _picture_masks(self, still: Still) -> None:
        """Draw all masks and labels; they are as good without their picture."""
        try:
            picture = picture_of_masks(still, self.drawn, fixed=self.request.fixed)
            self._keep_picture(MASKS_PICTURE, picture)
        except Exception as error:
            codes = ", ".join(problem.code for problem in problems_of(error, self.case.name))
            remark = f"the picture of the masks could not be made ({codes})"
            fixed = self.results[0]
            self.results[0] = replace(fixed, remarks=(*fixed.remarks, remark))

    def _keep_picture(self, file: str, picture: bytes) -> str:
        write_bytes(self.folder / file, picture)
        self.files[file] = sha256_of_file(self.folder / file)
        return file


def _told(mover: Mover) -> str:
    return f"{mover.empty:g} HU" if mover.volume.unit == "HU" else "its own smallest value"
