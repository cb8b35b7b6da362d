"""Where in the body a voxel lies: what tells a normal ventricle from one in the wrong place.

A coordinate runs from -1 at one end of the body's box to 1 at the other, along each axis of the
working grid (left to right, back to front, bottom to top; RAS). Beyond the box it goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.data.masks import Mask, bounding_box


@dataclass(frozen=True)
class BodyBox:
    """The first and the last voxel of a body along each axis."""

    first: tuple[int, ...]
    last: tuple[int, ...]

    def coordinates(self, voxels: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return the coordinates (3, ...) of voxel indices (3, ...)."""
        shape = (3, *[1] * (voxels.ndim - 1))
        first = np.asarray(self.first, dtype=np.float64).reshape(shape)
        last = np.asarray(self.last, dtype=np.float64).reshape(shape)
        # A body one voxel thick along an axis has no inside there: 0 stands for all of it.
        half = np.maximum(last - first, 1.0) / 2.0
        return np.asarray((voxels - (first + last) / 2.0) / half, dtype=np.float32)

    def maps(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the coordinates (3, X, Y, Z) of every voxel of a volume of that shape."""
        return self.coordinates(np.indices(shape, dtype=np.float32))


def body_box(body: Mask) -> BodyBox:
    """Return the box of a body (X, Y, Z) that is not empty."""
    box = bounding_box(body)
    return BodyBox(tuple(part.start for part in box), tuple(part.stop - 1 for part in box))
