"""Fields of view: which voxels of one grid another one saw, and how far two boxes overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medgen.volumes.grid import Grid, index_map

_TOLERANCE = 1e-3  # voxels
_SAMPLES = 64  # per axis: an error below 1 % of the smaller box


def field_of_view(source: Grid, destination: Grid) -> NDArray[np.bool_]:
    """Tell which voxels of `destination` have their centre in the field of view of `source`.

    The field of view reaches half a voxel beyond the outermost voxel centres of `source`.
    """
    by_axis = _along_axes(source, destination)
    if by_axis is not None:
        x, y, z = by_axis
        return np.asarray((x[:, None] & y)[:, :, None] & z)
    inside = np.ones(destination.shape, dtype=np.bool_)
    axes = np.ix_(*(np.arange(count, dtype=np.float64) for count in destination.shape))
    for row, count in zip(index_map(source, destination)[:3], source.shape, strict=True):
        # Only the axes that matter are broadcast: a turn about one axis costs planes.
        terms = [row[i] * axes[i] for i in _axes_that_matter(row, destination)]
        inside &= _within(sum(terms, start=np.full((1, 1, 1), row[3])), count)
    return inside


def clear_unseen(
    values: NDArray[np.float32], source: Grid, destination: Grid, outside: float
) -> None:
    """Write `outside` into values on `destination`, in place, where `source` has seen nothing."""
    by_axis = _along_axes(source, destination)
    if by_axis is None:
        values[~field_of_view(source, destination)] = outside
        return
    for axis, inside in enumerate(by_axis):
        if not inside.all():
            np.moveaxis(values, axis, 0)[~inside] = outside


def _along_axes(source: Grid, destination: Grid) -> list[NDArray[np.bool_]] | None:
    """Tell by axis of `destination` what is seen, or None where axes are not parallel."""
    seen = [np.ones(count, dtype=np.bool_) for count in destination.shape]
    for row, count in zip(index_map(source, destination)[:3], source.shape, strict=True):
        mattering = _axes_that_matter(row, destination)
        if len(mattering) > 1:
            return None
        axis = mattering[0] if mattering else 0
        place = row[axis] * np.arange(destination.shape[axis]) if mattering else np.zeros(1)
        seen[axis] &= _within(place + row[3], count)
    return seen


def _axes_that_matter(row: NDArray[np.float64], destination: Grid) -> list[int]:
    """Return the axes of `destination` along which a source index changes."""
    return [i for i in range(3) if abs(row[i]) * destination.shape[i] > 1e-9]


def _within(index: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    return (index >= -0.5 - _TOLERANCE) & (index <= count - 0.5 + _TOLERANCE)


def world_overlap(a: Grid, b: Grid) -> float:
    """Measure which share (0..1) of the smaller field of view lies inside the other.

    Counted on a lattice of points in the smaller box; within about 1 %.
    """
    small, large = sorted((a, b), key=lambda grid: grid.voxel_mm3 * float(np.prod(grid.shape)))
    scale = np.asarray(small.shape) / _SAMPLES
    to_small = np.diag([*scale, 1.0])
    to_small[:3, 3] = scale / 2 - 0.5
    lattice = Grid((_SAMPLES, _SAMPLES, _SAMPLES), small.affine @ to_small)
    return float(field_of_view(large, lattice).mean())
