"""Interpolation and blurring along one axis at a time, as products with narrow matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.volumes.ordering import in_order

Matrix = NDArray[np.float32]
"""(new, old): what each old voxel of an axis contributes to each new one."""

_ROWS = 16  # new voxels in one product: few enough that most of what they read is not zero
_LINES = 1024  # lines along the last axis in one product: they stay in the processor's cache


def linear(count: int, new_count: int, *, scale: float, offset: float) -> Matrix:
    """Return the matrix (new_count, count) of linear interpolation; edges go on for ever.

    New voxel i lies at `offset + scale * i` in old voxels; `scale` may be negative.
    """
    matrix = np.zeros((new_count, count), dtype=np.float32)
    rows = np.arange(new_count)
    place = np.clip(offset + scale * rows, 0.0, count - 1.0)
    below = np.minimum(np.floor(place).astype(np.intp), max(count - 2, 0))
    share = (place - below).astype(np.float32)
    # The two shares add up to 1 after rounding, so that constants stay what they are.
    matrix[rows, below] = np.float32(1.0) - share
    matrix[rows, np.minimum(below + 1, count - 1)] += share
    return matrix


def gaussian(count: int, sigma: float, *, truncate: float = 4.0) -> Matrix:
    """Return the matrix (count, count) of a Gaussian of `sigma` voxels; edges go on for ever.

    The kernel is that of scipy's gaussian_filter1d in its mode "nearest".
    """
    radius = int(truncate * sigma + 0.5)
    steps = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (steps / sigma) ** 2) if radius else np.ones(1)
    kernel /= kernel.sum()
    matrix = np.zeros((count, count))
    rows = np.arange(count)
    for step, weight in zip(steps, kernel, strict=True):
        matrix[rows, np.clip(rows + step, 0, count - 1)] += weight
    return matrix.astype(np.float32)


def smoothed(
    values: NDArray[Any], sigma: Sequence[float], *, truncate: float = 4.0
) -> NDArray[np.float32]:
    """Return a volume of finite values blurred by a Gaussian of `sigma` voxels along each axis."""
    matrices = [
        gaussian(count, width, truncate=truncate)
        for count, width in zip(values.shape, sigma, strict=True)
    ]
    return along(in_order(values, np.float32), matrices)


def along(values: NDArray[np.float32], matrices: Sequence[Matrix | None]) -> NDArray[np.float32]:
    """Multiply each axis of a volume by its matrix, or leave it as it is by None.

    The axis that shrinks most comes first. Values must be finite. Takes and returns float32 in C
    order; where nothing is to be done the same array.
    """
    growth = [m.shape[0] / m.shape[1] if m is not None else 1.0 for m in matrices]
    for axis in sorted(range(len(growth)), key=growth.__getitem__):
        matrix = matrices[axis]
        if matrix is not None:
            values = _product(matrix, values, axis)
    return values


def _product(matrix: Matrix, values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return the product along one axis, in blocks that leave out nearly all that is zero."""
    before, after = values.shape[:axis], values.shape[axis + 1 :]
    count, new_count = matrix.shape[1], matrix.shape[0]
    product = np.empty((*before, new_count, *after), dtype=np.float32)
    old = np.ascontiguousarray(values).reshape(math.prod(before), count, math.prod(after))
    new = product.reshape(math.prod(before), new_count, math.prod(after))
    blocks = list(_blocks(matrix))
    if new.shape[2] > 1:
        for rows, columns, block in blocks:
            np.matmul(block, old[:, columns], out=new[:, rows])
        return product
    for start in range(0, len(old), _LINES):
        lines = slice(start, start + _LINES)
        for rows, columns, block in blocks:
            np.matmul(old[lines, columns, 0], block.T, out=new[lines, rows, 0])
    return product


def _blocks(matrix: Matrix) -> list[tuple[slice, slice, Matrix]]:
    """Cut a matrix into blocks of rows, each with the columns where it is not zero."""
    blocks = []
    for start in range(0, len(matrix), _ROWS):
        rows = slice(start, min(start + _ROWS, len(matrix)))
        used = np.flatnonzero(matrix[rows].any(axis=0))
        columns = slice(int(used[0]), int(used[-1]) + 1)
        blocks.append((rows, columns, np.ascontiguousarray(matrix[rows, columns])))
    return blocks
