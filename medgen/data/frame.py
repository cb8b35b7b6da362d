"""The working frame of a case: the grid, the body and the crop that its reference column gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medgen.config import PreprocessingConfig
from medgen.data.masks import RIM_MM, Mask, bounding_box, outline, with_rim, within
from medgen.problems import Problem, Refusal
from medgen.volumes import Grid, Volume, resample, working_grid


@dataclass(frozen=True, eq=False)
class Frame:
    """Where a case is worked on."""

    column: str
    """The reference column."""
    native: Grid
    """The reference column's own grid."""
    grid: Grid
    """The working grid: RAS-ordered axes, the run's spacing, cropped."""
    values: NDArray[np.float32]
    """The reference column on the working grid, in physical units."""
    body: Mask
    """The reference column's body on the working grid."""
    device: str = "cpu"
    """Where volumes are interpolated."""


def frame_of(
    column: str,
    reference: Volume,
    *,
    unit: str,
    settings: PreprocessingConfig,
    mask: Callable[[Grid], Mask] | None = None,
    device: str = "cpu",
) -> Frame:
    """Lay the working frame by the reference column, and nothing else.

    `unit` is the one that the column's scale promises: it decides how the body is found, unless a
    `mask` says on any grid what the body is. Volumes are interpolated on `device`.

    Raises:
        Refusal: E_EMPTY_BODY where no body stands out; E_EMPTY_MASK where the mask has no voxel.
    """
    whole = working_grid(reference.grid, settings.spacing_mm)
    values = resample(reference.data, reference.grid, whole, device=device)
    if mask is None:
        body = outline(values, unit=unit, spacing_mm=whole.spacing_mm)
    elif not (body := mask(whole)).any():
        message = "no voxel of the mask is inside the image"
        raise Refusal(Problem("E_EMPTY_MASK", message, "check that both are of one case"))
    if settings.crop == "none":
        return Frame(column, reference.grid, whole, values, body, device)
    box = crop_box(body, whole, settings)
    grid = crop_grid(whole, box)
    return Frame(column, reference.grid, grid, values[box].copy(), body[box].copy(), device)


def crop_box(mask: Mask, grid: Grid, settings: PreprocessingConfig) -> tuple[slice, ...]:
    """Return the box around a mask with the configured margin, inside the grid."""
    margin = [math.ceil(settings.crop_margin_mm / spacing - 1e-6) for spacing in grid.spacing_mm]
    return bounding_box(mask, margin=margin)


def crop_grid(grid: Grid, box: tuple[slice, ...]) -> Grid:
    """Return the grid of a box of voxels."""
    return grid.crop([part.start for part in box], [part.stop - part.start for part in box])


def rim_along(frame: Frame, mask: Mask) -> Mask:
    """Return the rim of the source's body where it runs along the mask.

    Conversion shows the answer as far as the rim, and background beyond. Left out of training, the
    rim would hold whatever an untrained network makes of air.
    """
    spacing = frame.grid.spacing_mm
    near = within(mask, spacing_mm=spacing, radius_mm=2 * RIM_MM)
    return with_rim(frame.body, spacing_mm=spacing) & ~frame.body & near


def body_on(native: Grid, frame: Frame) -> Mask:
    """Return the body on another grid, that of the reference column's file."""
    body = frame.body.astype(np.float32)
    return np.asarray(resample(body, frame.grid, native, outside=0.0, antialias=False) >= 0.5)
