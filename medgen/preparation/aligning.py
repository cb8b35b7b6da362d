"""One moving column onto the fixed one: registration, scores before and after, a verdict."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.data.masks import AIR_HU, Mask, outline
from medgen.preparation.request import Request
from medgen.problems import Problem, Refusal
from medgen.registration import (
    Agreement,
    Deformation,
    Registration,
    Verdict,
    agreement,
    deform,
    judge,
    register,
)
from medgen.volumes import Grid, Volume, warp, warped_field_of_view

EMPTY_HU = -1024.0
"""What lies beyond a CT's field of view, as scanners write it."""


@dataclass(frozen=True, eq=False)
class Still:
    """The fixed image: its volume on the grid of all results, and its body there."""

    volume: Volume
    body: Mask


@dataclass(frozen=True, eq=False)
class Mover:
    """A moving image where it is: its volume and its body on its own grid."""

    volume: Volume
    body: Mask
    empty: float
    """The value beyond its field of view."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Where every point goes: a matrix, and a displacement on the fixed grid behind it."""

    matrix: NDArray[np.float64]
    deformation: Deformation | None = None

    @property
    def displacement_mm(self) -> NDArray[np.float32] | None:
        """The displacement (X, Y, Z, 3) as `warp` takes it."""
        return None if self.deformation is None else self.deformation.displacement_mm


@dataclass(frozen=True, eq=False)
class Placed:
    """A moving image on the fixed grid, how well it lies there, and where it shows anything."""

    values: NDArray[np.float32]
    seen: Mask
    agreement: Agreement


@dataclass(frozen=True, eq=False)
class Aligned:
    """A registration with its verdict, whether it may be used or not."""

    motion: Motion
    found: Registration
    verdict: Verdict
    before: Placed
    after: Placed

    def numbers(self, body: Mask, grid: Grid) -> dict[str, float | None]:
        """Return how far it moved and turned, how sure that is, and what the image shows."""
        left, _, right = np.linalg.svd(self.motion.matrix[:3, :3])
        turn = np.clip((np.trace(left @ right) - 1) / 2, -1, 1)
        points = grid.to_world(np.argwhere(body)[:: max(1, int(body.sum()) // 1000)])
        there = points @ self.motion.matrix[:3, :3].T + self.motion.matrix[:3, 3]
        deformation = self.motion.deformation
        return plain(
            {
                "moved_mm": float(np.median(np.linalg.norm(there - points, axis=1))),
                "turned_degrees": math.degrees(math.acos(float(turn))),
                "spread_mm": self.found.spread_mm,
                "starts": float(self.found.starts),
                "seen": float(self.after.seen[body].mean()),
                "folded": math.nan if deformation is None else deformation.folded,
                "deformed_mm": math.nan if deformation is None else deformation.largest_mm,
            }
        )


def mover_of(volume: Volume) -> Mover:
    """Find a moving image's body, and what its emptiness is worth.

    Raises:
        Refusal: E_EMPTY_BODY where no body stands out.
    """
    body = outline(volume.data, unit=volume.unit, spacing_mm=volume.grid.spacing_mm)
    empty = EMPTY_HU if volume.unit == "HU" else float(volume.data.min())
    return Mover(volume, body, empty)


def align(still: Still, mover: Mover, request: Request) -> Aligned:
    """Register a moving image to the fixed one, and judge what came of it.

    Raises:
        Refusal: E_REGISTRATION_... where there is nothing to judge.
        ConfigurationError: E_ITK_MISSING where a deformable transform is asked of a medgen without
            its extra.
    """
    fixed, moving = still.volume, mover.volume
    images = moving.data, moving.grid.affine, fixed.data, fixed.grid.affine
    kind = "rigid" if request.transform == "rigid" else "affine"
    found = register(*images, transform=kind, search=True)  # type: ignore[arg-type]
    deformation = None
    if request.transform == "deformable":
        deformation = deform(*images, start=found.matrix)
    motion = Motion(found.matrix, deformation)
    before = place(still, mover, Motion(np.eye(4)))
    after = place(still, mover, motion)
    verdict = judge(
        before.agreement,
        after.agreement,
        found,
        min_overlap=request.min_overlap,
        deformation=deformation,
    )
    return Aligned(motion, found, verdict, before, after)


def place(still: Still, mover: Mover, motion: Motion) -> Placed:
    """Carry a moving image onto the fixed grid by one interpolation, and measure how it lies."""
    source, destination = mover.volume.grid, still.volume.grid
    way: dict[str, Any] = {"matrix": motion.matrix, "displacement_mm": motion.displacement_mm}
    seen = warped_field_of_view(source, destination, **way)
    values = warp(mover.volume.data, source, destination, outside=mover.empty, **way)
    body = np.asarray(mover.body, dtype=np.uint8)
    there = warp(body, source, destination, order=0, outside=0.0, **way) > 0
    score = agreement(
        still.volume.data,
        values,
        spacing_mm=destination.spacing_mm,
        fixed_outline=still.body,
        moved_outline=there,
        seen=seen,
    )
    return Placed(values, seen, score)


def refusal_of(verdict: Verdict) -> Problem:
    """Return the problem that a failed verdict is."""
    message = "the registration was refused: " + "; ".join(verdict.reasons)
    advice = (
        "look at its picture in index.html; check that both images are of one patient and place"
    )
    return Problem("E_REGISTRATION_REFUSED", message, advice)


def unit_remarks(volume: Volume) -> list[str]:
    """Say where values look like Hounsfield units that nobody announced.

    Raises:
        Refusal: E_NOT_HU where announced ones cannot be: there is no air.
    """
    low = float(volume.data.min())
    if volume.unit == "HU" and low > AIR_HU / 2:
        message = f"the column is said to be in HU, but its smallest value is {low:g}: no air"
        advice = "rescale it to HU (often raw - 1024), or take it out of --hu"
        raise Refusal(Problem("E_NOT_HU", message, advice))
    if volume.unit != "HU" and low <= AIR_HU + 100:
        return ["its values reach down to those of air in HU: if it is a CT, say so by --hu"]
    return []


def plain(numbers: dict[str, float]) -> dict[str, float | None]:
    """Return numbers as JSON can hold them: None where there is none."""
    return {
        name: float(f"{value:.6g}") if math.isfinite(value) else None
        for name, value in numbers.items()
    }


def scores_of(measured: Agreement) -> dict[str, float | None]:
    """Return an agreement's measures by name."""
    return plain({name: float(value) for name, value in asdict(measured).items()})
