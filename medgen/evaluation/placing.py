"""Volumes of a case onto the reference's grid: as they are, resampled if asked, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.evaluation.matching import NOUNS
from medgen.problems import Problem, Refusal
from medgen.volumes import Grid, Volume, resample

_MATCH = "give --match-grid to resample it onto the reference's grid"


def on_grid(
    volume: Volume,
    grid: Grid,
    role: str,
    match: bool,
    remarks: list[str],
    *,
    order: int = 1,
    outside: float | None = None,
) -> NDArray[Any]:
    """Return a volume's values on the reference's grid; what was resampled joins the remarks.

    `order` and `outside` are those of `resample`. Raises Refusal E_GRID_MISMATCH, naming the role
    as its column, where the grids differ and `match` is off.
    """
    if volume.grid.same_as(grid):
        return volume.data
    if volume.grid.same_voxels_as(grid):  # stored in another order: nothing is interpolated
        return resample(volume.data, volume.grid, grid, order=0)
    noun = NOUNS.get(role, role)
    difference = f"{describe(volume.grid)} against the reference's {describe(grid)}"
    if volume.grid.shape == grid.shape:
        gap = np.linalg.norm(volume.grid.corners() - grid.corners(), axis=1).max()
        difference += f", corners up to {gap:.3g} mm apart"
    if not match:
        message = f"the {noun} lies on another grid: {difference}"
        raise Refusal(Problem("E_GRID_MISMATCH", message, _MATCH, column=role))
    remarks.append(f"the {noun} was resampled onto the reference's grid: {difference}")
    return resample(volume.data, volume.grid, grid, order=order, outside=outside)


def describe(grid: Grid) -> str:
    """Return a grid's shape and spacing in words."""
    shape = "x".join(map(str, grid.shape))
    spacing = "x".join(f"{value:.4g}" for value in grid.spacing_mm)
    return f"{shape} voxels of {spacing} mm"
