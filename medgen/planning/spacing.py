"""The working grid: as fine as the images, where the network's patches can see across it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from medgen.config import Config
from medgen.planning.facts import Survey, Three, three
from medgen.problems import NothingFound, Problem

FLATTEST = 3.0
"""Largest ratio of two axes' spacing: the network halves all three axes alike."""

SEEN = 0.125
"""Least share of the median body that a patch must hold: half of it along each axis.

nnU-Net (Isensee et al., Nature Methods 2021) asks for a quarter; but where the spacing is that of
the images nothing is interpolated at all, which is worth more than a little more context.
"""

COARSEST_MM = 4.0
"""No axis is made coarser than this for the sake of larger patches."""

STEP_MM = 0.05


@dataclass(frozen=True)
class Resolved:
    """What the images resolve."""

    spacing_mm: Three
    """The median of the column's spacing, per axis of the patient, made less flat."""
    column: str
    """Whose spacing it is."""
    median_mm: Three
    flattened: bool
    """Whether an axis was made finer than its median, because voxels were too flat."""


def resolved(config: Config, survey: Survey) -> Resolved:
    """Return the spacing of what is to be answered: the first target or label, else the source.

    Raises:
        NothingFound: E_COLUMN_EMPTY, no training case has an image in that column.
    """
    roles = config.roles
    role = roles.target or roles.label or roles.source
    column = role.columns[0]
    spacings = [
        case.columns[column].spacing_mm for case in survey.training if column in case.columns
    ]
    if not spacings:
        message = "no training case has an image in this column"
        raise NothingFound(Problem("E_COLUMN_EMPTY", message, "fill the cells", column=column))
    median = three(np.median(spacings, axis=0))
    limit = FLATTEST * min(median)
    spacing = three([min(mm, limit) for mm in median])
    return Resolved(_rounded(spacing), column, median, max(median) > limit)


def coarsened(
    spacing_mm: Three, extent_mm: Three, patch_voxels: int, *, coarsest_mm: float = COARSEST_MM
) -> Three:
    """Return the spacing at which a patch of so many voxels holds `SEEN` of the body.

    The finest axes are made coarser first, until all are alike, then all of them, but none beyond
    `coarsest_mm`.
    """
    coarsest_mm = min(coarsest_mm, COARSEST_MM)

    def body_voxels(floor: float) -> float:
        axes = zip(extent_mm, spacing_mm, strict=True)
        return math.prod(length / max(mm, floor) for length, mm in axes)

    floor = min(spacing_mm)
    while SEEN * body_voxels(floor) > patch_voxels and floor < coarsest_mm:
        floor = min(coarsest_mm, (math.floor(floor / STEP_MM + 1e-6) + 1) * STEP_MM)
    return _rounded(three([max(mm, floor) for mm in spacing_mm]))


def share_seen(spacing_mm: Three, extent_mm: Three, patch: tuple[int, int, int]) -> float:
    """Return the share of the median body that a patch holds, at most 1."""
    axes = zip(extent_mm, spacing_mm, patch, strict=True)
    return math.prod(min(1.0, count * mm / length) for length, mm, count in axes)


def _rounded(spacing_mm: Three) -> Three:
    """Return figures that a person can read; five digits place a last voxel well enough."""
    return three([float(f"{mm:.5g}") for mm in spacing_mm])
