"""Voxels laid out anew in memory, plane by plane."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

_APART = 24
"""Voxels between a buffer's lines: lines a power of two apart would fight for the same cache."""


def in_order(
    values: NDArray[Any], dtype: DTypeLike, *, order: Literal["C", "F"] = "C"
) -> NDArray[Any]:
    """Return a volume (X, Y, Z) in a type and a memory order; the same array where it is so.

    Values are cast as NumPy assigns them.
    """
    flags = values.flags
    lies_so = flags.c_contiguous if order == "C" else flags.f_contiguous
    if lies_so and values.dtype == np.dtype(dtype):
        return values
    laid: NDArray[Any] = np.empty(values.shape, dtype=dtype, order=order)
    new_fastest, old_fastest = _fastest(laid), _fastest(values)
    if new_fastest == old_fastest:
        laid[...] = values
        return laid
    (slow,) = {0, 1, 2} - {new_fastest, old_fastest}
    across, down = values.shape[old_fastest], values.shape[new_fastest]
    # Planes with the old lines as rows: read line by line, then turned within the cache.
    turn = (slow, new_fastest, old_fastest)
    buffer = np.empty((down, across + _APART), dtype=dtype)[:, :across]
    for new, old in zip(laid.transpose(turn), values.transpose(turn), strict=True):
        buffer[...] = old
        new[...] = buffer
    return laid


def _fastest(values: NDArray[Any]) -> int:
    """Return the axis along which neighbours lie closest in memory."""
    return int(np.argmin(np.abs(values.strides)))
