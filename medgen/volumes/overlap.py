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
    matrix = index_map(source, destination)
    inside = np.ones(destination.shape, dtype=np.bool_)
    axes = np.ix_(*(np.arange(count, dtype=np.float64) for count in destination.shape))
    for row, count in zip(matrix[:3], source.shape, strict=True):
        # Only the axes that matter are broadcast, so an aligned pair costs three vectors.
        terms = [row[i] * axes[i] for i in range(3) if abs(row[i]) * destination.shape[i] > 1e-9]
        index = sum(terms, start=np.full((1, 1, 1), row[3]))
        inside &= (index >= -0.5 - _TOLERANCE) & (index <= count - 0.5 + _TOLERANCE)
    return inside


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
