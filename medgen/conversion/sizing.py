"""Which windows answer a volume with the least to compute."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medgen.conversion.tiling import Axis, place, round_up

CELL = 4
"""Voxels of the blocks by which windows without anything to keep are foreseen."""


def least_work(
    shape: Sequence[int],
    box: Sequence[slice],
    keep: NDArray[np.bool_] | None,
    *,
    sizes: Sequence[Sequence[int]],
    overlap: int,
    margin: int,
    phase: int,
    most_voxels: float = math.inf,
) -> tuple[int, int, int]:
    """Return the window for which the fewest voxels are computed, margins and overlaps included.

    Args:
        shape: the volume's.
        box: what windows are laid over.
        keep: voxels to answer; windows without any cost nothing. None: all.
        sizes: the lengths of a window to choose from, along each axis.
        overlap: voxels that windows share at least.
        margin: see `Method`.
        phase: what windows start on multiples of.
        most_voxels: what one window may have, its margin included; where even the smallest has
            more, it is the smallest.
    """
    choices = [
        [place(length, span, size, overlap=overlap, phase=phase) for size in each]
        for length, span, each in zip(shape, box, sizes, strict=True)
    ]
    kept = None if keep is None else _counts(keep)
    best: tuple[float, float, tuple[Axis, ...]] | None = None
    smallest = math.prod(min(each) + 2 * margin for each in sizes)
    for axes in itertools.product(*choices):
        voxels = math.prod(axis.size + 2 * margin for axis in axes)
        if voxels > max(most_voxels, smallest):
            continue
        windows = math.prod(len(axis.starts) for axis in axes)
        if best is not None and kept is None and voxels * windows > best[0]:
            continue
        wanted = windows if kept is None else _wanted(kept, axes)
        found = (float(voxels * wanted), float(windows), axes)
        best = found if best is None or found[:2] < best[:2] else best
    assert best is not None
    x, y, z = best[2]
    return x.size, y.size, z.size


def sizes_near(size: int, *, most: float, divisor: int) -> list[int]:
    """Return the lengths from a window's own to `most` times that, on the divisor."""
    first = round_up(size, divisor)
    return list(range(first, max(first, int(most * size)) + 1, divisor))


def sizes_over(length: int, *, overlap: int, divisor: int, least: int) -> list[int]:
    """Return the shortest windows by which one, two and more reach over a length, longest first."""
    shortest = round_up(max(least, 2 * overlap, 1), divisor)
    sizes = [round_up(max(length, least), divisor)]
    count = 2
    while sizes[-1] > shortest:
        needed = round_up(math.ceil((length + (count - 1) * overlap) / count), divisor)
        if (size := max(needed, shortest)) < sizes[-1]:
            sizes.append(size)
        count += max(1, count // 4)  # of many windows, not every number is worth a try
    return sizes


def _counts(keep: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the blocks with voxels to keep before each corner: a summed-area table."""
    wide = np.pad(keep, [(0, -length % CELL) for length in keep.shape])
    x, y, z = (length // CELL for length in wide.shape)
    blocks = wide.reshape(x, CELL, y, CELL, z, CELL).any(axis=(1, 3, 5))
    sums = blocks.astype(np.int64).cumsum(0).cumsum(1).cumsum(2)
    return np.pad(sums, ((1, 0),) * 3)


def _wanted(counts: NDArray[np.int64], axes: Sequence[Axis]) -> int:
    """Return the windows that have voxels to keep, or lie in a block with some."""
    sums = counts
    for number, axis in enumerate(axes):
        starts = np.asarray(axis.starts) - axis.before
        first = np.clip(starts, 0, axis.length) // CELL
        last = -(-np.clip(starts + axis.size, 0, axis.length) // CELL)
        sums = sums.take(last, axis=number) - sums.take(first, axis=number)
    return int(np.count_nonzero(sums))
