"""Training pairs: a case's source, its target, and where both are looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medgen.data import Row, outline
from medgen.problems import ConfigurationError, Problem, Refusal
from medgen.volumes import ARBITRARY, Volume, in_unit, open_volume, resample

HOUNSFIELD = "HU"


@dataclass(frozen=True, eq=False)
class Pair:
    """A training case: source and target in one world, and where on the source's grid to look."""

    case: str
    source: Volume
    target: Volume
    mask: NDArray[np.bool_]


def open_pair(
    row: Row, *, source: str, target: str, mask: str | None = None, unit: str = HOUNSFIELD
) -> Pair:
    """Open a case's source and target columns, and where they count; `unit` is the target's.

    Without a mask column that is the target's own body outline, as `evaluate` takes it.

    Raises:
        Refusal: the gate's, or E_EMPTY_BODY.
    """
    image, computed = open_cell(row, source), open_cell(row, target, unit=unit)
    if mask is None:
        grid = computed.grid
        inside = outline(computed.data, unit=unit, spacing_mm=grid.spacing_mm)
    else:
        drawn = open_cell(row, mask)
        grid, inside = drawn.grid, drawn.data > 0
    inside = resample(inside.astype(np.uint8), grid, image.grid, order=0, outside=0.0) > 0
    return Pair(row.case, image, computed, inside)


def open_cell(row: Row, column: str, *, unit: str = ARBITRARY) -> Volume:
    """Open one cell of a table, in a unit; its problems name the case and the column.

    A file that names no unit is taken to be in the one that is asked for.
    """
    if column not in row.cells:
        message, advice = "the case has no image in this column", "fill the cell"
        raise Refusal(Problem("E_COLUMN_EMPTY", message, advice, row.case, column))
    try:
        volume = in_unit(open_volume(row.cells[column]), unit)
    except Refusal as error:
        raise error.at(case=row.case, column=column) from None
    return volume if unit == ARBITRARY else volume.with_data(volume.data, unit=unit)


def no_voxels() -> ConfigurationError:
    """Return the error of fitting on nothing."""
    advice = "fit a baseline on at least one training case with a mask that is not empty"
    return ConfigurationError(Problem("E_BASELINE_EMPTY", "there is no training voxel", advice))
