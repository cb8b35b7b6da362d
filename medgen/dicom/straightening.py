"""Tilted or unevenly spaced slices, resampled onto a grid of right angles and even gaps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.dicom.geometry import Arrangement, missing_slices, tilt_degrees
from medgen.problems import Problem

_WHOLE = 1e-6  # voxels; as near as this to a voxel, its value is copied

Plane = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class StraightGrid:
    """The grid that straightened slices come to lie on: orthogonal, and around all of them."""

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    """(4, 4): indices (column, row, slice) to RAS millimetres."""
    start: tuple[int, int]
    """The column and row of the first slice that become column and row 0; 0 or below."""
    drift: NDArray[np.float64]
    """(2,): columns and rows by which slices move for each millimetre along the normal."""
    gap_mm: float


def straight_grid(arrangement: Arrangement) -> StraightGrid:
    """Return the orthogonal grid around all slices, from the first to the last one's centre.

    Columns and rows stay as they are, grown to the side the slices drift to. Slices lie at the
    usual gap, adjusted so that a whole number of gaps reaches the last one.
    """
    affine = arrangement.affine.copy()
    spacing = np.linalg.norm(affine[:3, :2], axis=0)
    length = float(arrangement.along_mm[-1])
    gaps = max(1, round(length / arrangement.usual_gap_mm))
    drift = arrangement.shear / spacing
    whole = np.rint(drift * length)
    ends = np.where(np.abs(drift * length - whole) < _WHOLE, whole, drift * length)
    low = [math.floor(min(0.0, end)) for end in ends]
    high = [math.ceil(max(0.0, end)) for end in ends]
    columns, rows, _ = arrangement.shape
    # What the shear adds to the step lies in the plane; without it the step is the normal.
    across = affine[:3, :2] @ drift * length / (arrangement.shape[2] - 1)
    affine[:3, 2] = (affine[:3, 2] - across) * (arrangement.shape[2] - 1) / gaps
    affine[:3, 3] += affine[:3, :2] @ np.array(low, dtype=np.float64)
    return StraightGrid(
        shape=(columns + high[0] - low[0], rows + high[1] - low[1], gaps + 1),
        affine=affine,
        start=(low[0], low[1]),
        drift=drift,
        gap_mm=length / gaps,
    )


def straightening_note(arrangement: Arrangement) -> Problem:
    """Return the note (W_STRAIGHTENED) that voxels are resampled: why, and how many slices anew.

    A slice of the new grid counts as interpolated where no slice was measured within the gate's
    tolerance.
    """
    along = arrangement.along_mm
    count = straight_grid(arrangement).shape[2]
    places = np.linspace(0.0, along[-1], count)
    after = np.searchsorted(along, places).clip(1, len(along) - 1)
    distances = np.minimum(np.abs(places - along[after - 1]), np.abs(places - along[after]))
    made = int((distances > arrangement.tolerance_mm).sum())
    gaps = np.diff(along)
    message = (
        f"voxels were resampled to straighten the slices: tilt "
        f"{round(tilt_degrees(arrangement.shear), 2):g} degrees, gaps from {gaps.min():.4g} to "
        f"{gaps.max():.4g} mm, usually {arrangement.usual_gap_mm:.4g} mm; {made} of {count} slice "
        f"positions {'is' if made == 1 else 'are'} interpolated"
    )
    missing = missing_slices(along)
    if missing:
        message += f", where {missing} {'slice is' if missing == 1 else 'slices are'} missing"
    return Problem("W_STRAIGHTENED", message)


def straighten(
    data: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    arrangement: Arrangement,
    *,
    fill: float,
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Return slices (X, Y, Z) resampled linearly onto `straight_grid`, and where they are valid.

    Each new slice blends the two it lies between and is moved within its plane. Voxels that no
    measured voxels surround are `fill` and not valid; None where all are.
    """
    grid = straight_grid(arrangement)
    columns, rows, count = grid.shape
    result = np.empty((count, rows, columns), dtype=np.float32)
    for index in range(count):
        at = min(index * grid.gap_mm, float(arrangement.along_mm[-1]))
        plane = _between(data, valid, arrangement.along_mm, at)
        for axis, (start, size) in enumerate(zip(grid.start, (columns, rows), strict=True)):
            plane = _moved(plane, axis, start - float(grid.drift[axis]) * at, size)
        result[index] = plane.T
    measured = ~np.isnan(result)
    result[~measured] = fill
    return result.T, None if measured.all() else measured.T


def _between(
    data: NDArray[Any], valid: NDArray[np.bool_] | None, along: NDArray[np.float64], at: float
) -> Plane:
    """Return the plane (X, Y) at a distance along the normal; NaN where it is not valid."""
    after = int(np.clip(np.searchsorted(along, at), 1, len(along) - 1))
    weight = (at - along[after - 1]) / (along[after] - along[after - 1])
    first, second = (_plane(data, valid, index) for index in (after - 1, after))
    return _blend(first, second, float(weight))


def _plane(data: NDArray[Any], valid: NDArray[np.bool_] | None, index: int) -> Plane:
    plane = data[:, :, index].astype(np.float32)
    if valid is not None:
        plane[~valid[:, :, index]] = np.nan
    return plane


def _moved(plane: Plane, axis: int, start: float, size: int) -> Plane:
    """Return `size` samples along an axis, one voxel apart from `start`; NaN beyond the plane."""
    whole = math.floor(start + _WHOLE)
    first = _window(plane, axis, whole, size)
    return _blend(first, _window(plane, axis, whole + 1, size), start - whole)


def _window(plane: Plane, axis: int, start: int, size: int) -> Plane:
    """Return a window of a plane along an axis, NaN where it reaches beyond."""
    have = plane.shape[axis]
    low, high = max(start, 0), min(start + size, have)
    shape = [size if one == axis else plane.shape[one] for one in (0, 1)]
    window = np.full(shape, np.nan, dtype=np.float32)
    if low < high:
        inside = slice(low - start, high - start)
        if axis == 0:
            window[inside] = plane[low:high]
        else:
            window[:, inside] = plane[:, low:high]
    return window


def _blend(first: Plane, second: Plane, weight: float) -> Plane:
    """Return the weighted mean; what has no weight may be NaN."""
    if weight <= _WHOLE:
        return first
    if weight >= 1 - _WHOLE:
        return second
    return np.asarray(first + np.float32(weight) * (second - first), dtype=np.float32)
