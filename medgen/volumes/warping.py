"""A volume carried along a registration onto another grid, by one interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.volumes.grid import Grid
from medgen.volumes.overlap import field_of_view
from medgen.volumes.resampling import blur, resample

_TOLERANCE = 1e-3  # voxels
_SPLINE_REACH = 12  # voxels; beyond it an edge has no part in a cubic spline
_SLAB_VOXELS = 4_000_000
"""How many coordinates are held at once: three float64 each."""


def warp(
    data: NDArray[Any],
    source: Grid,
    destination: Grid,
    *,
    matrix: NDArray[np.float64],
    displacement_mm: NDArray[np.float32] | None = None,
    order: int = 1,
    outside: float | None = None,
    antialias: bool = True,
) -> NDArray[np.float32]:
    """Return `data` (on `source`) as seen at the voxel centres of `destination` after moving.

    Args:
        data: (X, Y, Z) on `source`.
        source: the moving volume's grid in its own world.
        destination: the grid to fill, in the fixed world.
        matrix: (4, 4), from the moving world to the fixed world, mm.
        displacement_mm: (X, Y, Z, 3) on `destination`, mm: the fixed world's point p lies at
            inverse(matrix) @ (p + d(p)) in the moving world.
        order: 0 (labels), 1 (linear) or 3 (cubic B-spline).
        outside: the value beyond the source's field of view; None holds the nearest edge value.
        antialias: blur axes that get coarser first, with order 1 or 3, as `resample` does.

    Raises:
        ValueError: an order, data or displacements that do not fit.
        Refusal: E_BAD_AFFINE for a matrix that places no voxels.
    """
    moved = Grid(source.shape, matrix @ source.affine)
    if displacement_mm is None:
        return resample(data, moved, destination, order=order, outside=outside, antialias=antialias)
    if order not in (0, 1, 3):
        raise ValueError(f"the interpolation order must be 0, 1 or 3, not {order}")
    if data.shape != source.shape:
        raise ValueError(f"data of shape {data.shape} on a grid of shape {source.shape}")
    _check_displacement(displacement_mm, destination)
    values = np.asarray(data, np.float32)
    if antialias and order > 0:
        values = blur(values, np.linalg.norm(_to_moved(moved, destination)[:, :3], axis=1))
    pad = _SPLINE_REACH if order == 3 else 0
    if pad:  # as scipy does it, but once for all slabs
        values = np.pad(values, pad, mode="edge")
        values = ndimage.spline_filter(values, order=3, output=np.float32, mode="nearest")
    answer = np.empty(destination.shape, np.float32)
    for slab in _slabs(destination):
        index = _index(moved, destination, displacement_mm, slab)
        answer[slab] = ndimage.map_coordinates(
            values, index + pad, output=np.float32, order=order, mode="nearest", prefilter=False
        )
        if outside is not None:
            answer[slab][~_inside(index, moved)] = outside
    return answer


def warped_field_of_view(
    source: Grid,
    destination: Grid,
    *,
    matrix: NDArray[np.float64],
    displacement_mm: NDArray[np.float32] | None = None,
) -> NDArray[np.bool_]:
    """Tell which voxels of `destination` (X, Y, Z) the moved source saw.

    Takes what `warp` takes. The field of view reaches half a voxel beyond the outermost voxel
    centres of `source`.
    """
    moved = Grid(source.shape, matrix @ source.affine)
    if displacement_mm is None:
        return field_of_view(moved, destination)
    _check_displacement(displacement_mm, destination)
    seen = np.empty(destination.shape, np.bool_)
    for slab in _slabs(destination):
        seen[slab] = _inside(_index(moved, destination, displacement_mm, slab), moved)
    return seen


def _check_displacement(displacement_mm: NDArray[np.float32], destination: Grid) -> None:
    if displacement_mm.shape != (*destination.shape, 3):
        shape = displacement_mm.shape
        raise ValueError(f"displacements of shape {shape} on a grid of shape {destination.shape}")


def _to_moved(moved: Grid, destination: Grid) -> NDArray[np.float64]:
    """Return (3, 4): voxel indices of `destination` to those of the moved source."""
    return np.asarray(np.linalg.solve(moved.affine, destination.affine)[:3], np.float64)


def _slabs(destination: Grid) -> list[slice]:
    """Cut the first axis so that the coordinates of a slab stay small."""
    plane = destination.shape[1] * destination.shape[2]
    step = max(1, _SLAB_VOXELS // plane)
    return [
        slice(i, min(i + step, destination.shape[0])) for i in range(0, destination.shape[0], step)
    ]


def _index(
    moved: Grid, destination: Grid, displacement_mm: NDArray[np.float32], slab: slice
) -> NDArray[np.float64]:
    """Return where (3, x, Y, Z) in the moved source's voxels a slab of the destination lies."""
    _, y, z = destination.shape
    matrix = _to_moved(moved, destination)
    axes = np.ix_(np.arange(slab.start, slab.stop), np.arange(y), np.arange(z))
    # Displacements are vectors: only the linear part of the moved affine turns them to voxels.
    shift = displacement_mm[slab] @ np.linalg.inv(moved.affine[:3, :3]).T
    return np.stack(
        [
            sum(row[i] * axes[i] for i in range(3)) + row[3] + shift[..., k]
            for k, row in enumerate(matrix)
        ]
    )


def _inside(index: NDArray[np.float64], grid: Grid) -> NDArray[np.bool_]:
    inside = np.ones(index.shape[1:], np.bool_)
    for axis, count in enumerate(grid.shape):
        inside &= index[axis] >= -0.5 - _TOLERANCE
        inside &= index[axis] <= count - 0.5 + _TOLERANCE
    return inside
