"""Patches shaped after the body: which sizes there are, from the smallest to the largest."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medgen.planning.footprint import Sizes

Size = tuple[int, int, int]

GRAIN = 4
"""Voxels by which a patch grows at least, where a network would take any size."""


def pads(patch: Sequence[int], extent: Sequence[float]) -> bool:
    """Tell whether a patch is longer than a body of `extent` voxels along an axis.

    Bodies differ: one that is a voxel short of a patch is not worth a smaller one.
    """
    return any(length > least + 1 for length, least in zip(patch, extent, strict=True))


def patches(extent: Sequence[float], sizes: Sizes, *, shortest: int | None) -> list[Size]:
    """Return the patches to choose from, growing along the axis that is furthest behind the body.

    `extent` is the body's in voxels; each size is a multiple of the method's divisor and, but for
    the first, no larger than the body. `shortest` is the least axis that the networks' depth asks
    for; without a depth (None) the first is the smallest that the method takes. Empty where the
    body is too small for that depth.
    """
    if sizes.fixed is not None:
        return [sizes.fixed]
    step = sizes.divisor * math.ceil(GRAIN / sizes.divisor)
    least = max(sizes.minimum, shortest or step)
    start = math.ceil(least / step) * step
    # As `pads` has it, a voxel too few is none.
    fits = [math.floor((length + 1) / step) * step for length in extent]
    if shortest is not None and min(fits) < shortest:
        return []
    most = [max(start, length) for length in fits]
    size = [start, start, start]
    found = [(size[0], size[1], size[2])]
    while size != most:
        axis = min(
            (axis for axis in range(3) if size[axis] < most[axis]),
            key=lambda axis: size[axis] / extent[axis],
        )
        size[axis] += step
        found.append((size[0], size[1], size[2]))
    return found


def smallest_patch(sizes: Sizes) -> Size:
    """Return the smallest patch that a method takes."""
    if sizes.fixed is not None:
        return sizes.fixed
    length = math.ceil(max(sizes.minimum, 1) / sizes.divisor) * sizes.divisor
    return length, length, length
