"""What a header promises, and the voxels that keep the promise to the last byte."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.limits import Limits, size_problems
from medgen.problems import Problem, Refusal
from medgen.volumes.grid import Grid
from medgen.volumes.streams import ByteStream
from medgen.volumes.volume import Volume

_PIECE = 1 << 20


@dataclass(frozen=True)
class Layout:
    """Describe stored voxels: `dtype` with its byte order, first axis fastest.

    `shape` may have further axes of one; `skip` bytes come before the first voxel. `problems`
    holds all that is wrong; `readable` tells whether the voxels can be read all the same, so that
    what is wrong with them is reported too.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    affine: NDArray[np.float64] | None
    skip: int = 0
    slope: float = 1.0
    intercept: float = 0.0
    problems: tuple[Problem, ...] = ()
    readable: bool = True


def shape_and_count_problems(shape: tuple[int, ...], limits: Limits) -> list[Problem]:
    """Return what is wrong with a stored shape, which may have more than three axes."""
    problems = size_problems(shape[:3], limits)
    volumes = math.prod(shape[3:])
    if volumes > 1:
        message = f"it holds {volumes} volumes or components, not one"
        problems.append(Problem("E_FOUR_DIMENSIONS", message, "split it and choose one volume"))
    return problems


def read_voxels(stream: ByteStream, layout: Layout, *, nan_to: float | None) -> Volume:
    """Read the voxels a layout describes; raise Refusal with its problems and theirs."""
    problems = list(layout.problems)
    if not layout.readable:
        raise Refusal(problems)
    try:
        size = math.prod(layout.shape) * layout.dtype.itemsize
        stream.require(layout.skip + size)
        data = np.empty(size, dtype=np.uint8)
        stream.skip(layout.skip)
        stream.fill(data.data)
        digest = stream.finish()
    except Refusal as refusal:
        raise Refusal([*problems, *refusal.problems]) from None
    values = _scaled(_native(data.view(layout.dtype)), layout.slope, layout.intercept)
    problems += _settle_nonfinite(values, nan_to)
    if problems or layout.affine is None:
        raise Refusal(problems)
    grid = Grid((layout.shape[0], layout.shape[1], layout.shape[2]), layout.affine)
    return Volume(values.reshape(grid.shape, order="F"), grid, digest=digest)


def _native(values: NDArray[Any]) -> NDArray[Any]:
    """Return values in this machine's byte order."""
    if values.dtype.isnative:
        return values
    return values.byteswap(inplace=True).view(values.dtype.newbyteorder("="))


def _scaled(values: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """Return values as stored where unscaled, else float32 computed in float64."""
    if (slope, intercept) == (1.0, 0.0):
        return values
    scaled = np.empty(values.shape, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, values.size, _PIECE):
            piece = values[start : start + _PIECE].astype(np.float64)
            scaled[start : start + _PIECE] = piece * slope + intercept
    return scaled


def _settle_nonfinite(values: NDArray[Any], nan_to: float | None) -> list[Problem]:
    """Replace NaN and infinite values in place by `nan_to`, or return the problem they are."""
    if values.dtype.kind != "f":
        return []
    bad = 0
    for start in range(0, values.size, _PIECE):
        piece = values[start : start + _PIECE]
        wrong = ~np.isfinite(piece)
        bad += int(np.count_nonzero(wrong))
        if nan_to is not None:
            piece[wrong] = nan_to
    if bad == 0 or nan_to is not None:
        return []
    message = f"{bad} of {values.size} voxels are NaN or infinite"
    return [Problem("E_NONFINITE", message, "give --nan-to VALUE to replace them")]
