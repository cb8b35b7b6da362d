"""Labels and masks as they ride along: whole numbers, and few of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.preparation.aligning import Motion
from medgen.problems import Problem, Refusal
from medgen.volumes import Grid, Volume, warp, world_overlap

CHANGED = 0.2
"""A share of a class's volume whose gain or loss by the move a person should look at."""
FEW_VOXELS = 4
"""So many of the larger voxels may come or go by chance, where a class has few."""
MOST_TOLD = 5

MOST_LABELS = 512
LARGEST_LABEL = 32767


def label_problems(values: NDArray[Any]) -> list[Problem]:
    """Return what keeps a volume (X, Y, Z) from being labels."""
    advice = "--carry is for masks and labels; give an image by --moving"
    if values.dtype.kind == "f" and not (np.rint(values) == values).all():
        return [Problem("E_CARRY_NO_LABELS", "it holds numbers that are not whole", advice)]
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > LARGEST_LABEL:
        message = f"its values reach from {low:g} to {high:g}; labels go from 0 to {LARGEST_LABEL}"
        return [Problem("E_CARRY_NO_LABELS", message, advice)]
    count = len(np.unique(values))
    if count > MOST_LABELS:
        message = f"it holds {count} different values, as an image does"
        return [Problem("E_CARRY_NO_LABELS", message, advice)]
    return []


def alone(column: str, along: str) -> Problem:
    """Return the problem of a case that has a label, but not the image it was drawn on."""
    message = f"the case has no image in {along}, so nothing rides along with it"
    return Problem("E_CARRY_ALONE", message, f"fill the cell of {along}, or empty that of {column}")


def place_problems(labels: Grid, image: Grid, along: str) -> list[Problem]:
    """Return what keeps labels from being those of an image: they share no place in its world."""
    if world_overlap(labels, image) > 0:
        return []
    message = f"it lies wholly outside the field of view of {along}, which it was drawn on"
    return [_outside(message, along)]


def carried_labels(
    volume: Volume, motion: Motion, grid: Grid
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return labels as they lie on the fixed grid, each voxel the nearest, and what was lost.

    Raises:
        Refusal: E_CARRY_OUTSIDE where there were labels and none is left.
    """
    way: dict[str, Any] = {"displacement_mm": motion.displacement_mm, "outside": 0.0}
    values = warp(volume.data, volume.grid, grid, matrix=motion.matrix, order=0, **way)
    # An affine transform is meant to make a label larger or smaller: that is no loss.
    moved = Grid(volume.grid.shape, motion.matrix @ volume.grid.affine)
    return values, losses(volume.data, moved, values, grid)


def losses(
    before: NDArray[Any], source: Grid, after: NDArray[Any], destination: Grid
) -> tuple[str, ...]:
    """Tell which classes a move lost, made smaller or made larger, with both volumes.

    Args:
        before: labels (X, Y, Z) on `source`, 0 for none.
        source: their grid, where the move puts it in the fixed world.
        after: the same labels on `destination`, the fixed grid.
        destination: the fixed grid.

    Raises:
        Refusal: E_CARRY_OUTSIDE where there were labels and none is left.
    """
    had, has = _volumes_mm3(before, source), _volumes_mm3(after, destination)
    if had and not has:
        message = f"nothing of its {sum(had.values()):.6g} mm3 is left on the fixed grid"
        raise Refusal(_outside(message, "its image"))
    chance = FEW_VOXELS * max(source.voxel_mm3, destination.voxel_mm3)
    told = []
    for label, volume in had.items():
        left = has.get(label, 0.0)
        if not left:
            told.append(f"class {label} was lost by the move: it had {volume:.6g} mm3")
        elif abs(left - volume) > max(CHANGED * volume, chance):
            told.append(f"class {label} had {volume:.6g} mm3 and has {left:.6g} mm3 after the move")
    more = len(told) - MOST_TOLD
    return (*told[:MOST_TOLD], *([f"and {more} classes more"] if more > 0 else []))


def _outside(message: str, along: str) -> Problem:
    advice = f"give it the header of {along} if it was drawn there; otherwise empty its cell"
    return Problem("E_CARRY_OUTSIDE", message, advice)


def _volumes_mm3(labels: NDArray[Any], grid: Grid) -> dict[int, float]:
    """Return the volume of each class that is there."""
    classes, counts = np.unique(labels[labels != 0], return_counts=True)
    return {
        int(label): float(count) * grid.voxel_mm3
        for label, count in zip(classes, counts, strict=True)
    }
