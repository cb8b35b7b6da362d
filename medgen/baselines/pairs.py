"""Training pairs: a case's source, its target, and where both are looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medgen.data import Row, outline
from medgen.problems import ConfigurationError, Problem, Refusal
from medgen.volumes import Volume, open_volume, resample

UNIT = "HU"


@dataclass(frozen=True, eq=False)
class Pair:
    """A training case: source and target in one world, and where on the source's grid to look."""

    case: str
    source: Volume
    target: Volume
    mask: NDArray[np.bool_]


def open_pair(row: Row, *, source: str, target: str, mask: str | None = None) -> Pair:
    """Open a case's source and target columns, and where they count.

    Without a mask column that is the target's own body outline, as `evaluate` takes it.

    Raises:
        Refusal: the gate's, or E_EMPTY_BODY.
    """
    image, computed = open_cell(row, source), open_cell(row, target)
    if mask is None:
        grid = computed.grid
        inside = outline(computed.data, unit=UNIT, spacing_mm=grid.spacing_mm)
    else:
        drawn = open_cell(row, mask)
        grid, inside = drawn.grid, drawn.data > 0
    inside = resample(inside.astype(np.uint8), grid, image.grid, order=0, outside=0.0) > 0
    return Pair(row.case, image, computed, inside)


def open_cell(row: Row, column: str) -> Volume:
    """Open one cell of a table; its problems name the case and the column."""
    if column not in row.cells:
        message, advice = "the case has no image in this column", "fill the cell"
        raise Refusal(Problem("E_COLUMN_EMPTY", message, advice, row.case, column))
    try:
        return open_volume(row.cells[column])
    except Refusal as error:
        raise error.at(case=row.case, column=column) from None


def no_voxels() -> ConfigurationError:
    """Return the error of fitting on nothing."""
    advice = "fit a baseline on at least one training case with a mask that is not empty"
    return ConfigurationError(Problem("E_BASELINE_EMPTY", "there is no training voxel", advice))
