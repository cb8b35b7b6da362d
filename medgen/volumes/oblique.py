"""Linear interpolation on a grid that is turned against the volume's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SLAB_VOXELS = 1 << 17
"""How many voxels are sampled at once: what they take stays in the processor's cache."""


def sample(
    values: NDArray[np.float32], matrix: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    """Return values (X, Y, Z), in C order, at the voxels of a grid of `shape`, linearly.

    `matrix` (4, 4) carries indices of the new grid to those of `values`. Beyond the outermost
    voxels the nearest of them holds.
    """
    answer = np.empty(shape, dtype=np.float32)
    step = max(1, _SLAB_VOXELS // (shape[1] * shape[2]))
    for start in range(0, shape[0], step):
        slab = range(start, min(start + step, shape[0]))
        answer[slab.start : slab.stop] = _slab(values, matrix, shape, slab)
    return answer


def _slab(
    values: NDArray[np.float32],
    matrix: NDArray[np.float64],
    shape: tuple[int, int, int],
    slab: range,
) -> NDArray[np.float32]:
    """Return the new voxels whose first index lies in `slab`."""
    x, y, z = np.asarray(slab), np.arange(shape[1]), np.arange(shape[2])
    corner: Any = 0
    shares, strides = [], []
    for axis, size in enumerate(values.shape):
        a, b, c, d = matrix[axis]
        place = ((a * x)[:, None] + b * y)[:, :, None] + (c * z + d)
        np.clip(place, 0.0, size - 1.0, out=place)
        below = np.minimum(place.astype(np.intp), max(size - 2, 0))
        place -= below
        shares.append(place.astype(np.float32))
        corner = corner * size + below
        strides.append(0 if size == 1 else int(np.prod(values.shape[axis + 1 :])))
    return _between(values.reshape(-1), corner, strides, shares)


def _between(
    flat: NDArray[np.float32],
    corner: NDArray[np.intp],
    strides: list[int],
    shares: list[NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Interpolate between eight neighbours: the lowest one, the steps to the others, the shares."""
    if not strides:
        return flat.take(corner)
    low = _between(flat, corner, strides[1:], shares[1:])
    high = _between(flat, corner + strides[0], strides[1:], shares[1:])
    high -= low
    high *= shares[0]
    high += low
    return high
