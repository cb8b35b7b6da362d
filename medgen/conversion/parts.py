"""The connected parts of a class in a label map, and which of them are strays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

NEIGHBOURS = np.ones((3, 3, 3), dtype=np.bool_)
"""Voxels that touch by a face, an edge or a corner are of one part, as `metrics.detect` counts."""

ROUNDING = 1e-6
"""By how little, relatively, a part may miss a volume and still have it: affines are rounded."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The connected parts of a region."""

    box: tuple[slice, ...]
    """The smallest box of the volume that holds the region."""
    numbers: NDArray[np.int32]
    """Each voxel's part inside the box, from 1; 0 outside the region."""
    sizes: NDArray[np.int64]
    """Voxels by part number; 0 stands for what is outside the region, and has none."""

    @property
    def count(self) -> int:
        """Return the number of parts."""
        return len(self.sizes) - 1

    def strays(
        self, *, largest_only: bool, minimum_ml: float, voxel_ml: float
    ) -> NDArray[np.bool_]:
        """Tell by part number which parts go: all but the largest, and those below a volume.

        Of several largest parts the first in the array's order stays. A part of just `minimum_ml`
        stays; the largest goes like any other where it is smaller.
        """
        stray = self.sizes * voxel_ml < minimum_ml * (1.0 - ROUNDING)
        if largest_only:
            stray |= np.arange(len(self.sizes)) != int(self.sizes.argmax())
        stray[0] = False
        return np.asarray(stray)


def find_parts(region: NDArray[np.bool_]) -> Parts:
    """Find the connected parts of a region (X, Y, Z), by 26-connectivity."""
    (box,) = ndimage.find_objects(region.view(np.uint8), max_label=1)
    if box is None:
        box = (slice(0, 0),) * 3
    numbers, count = ndimage.label(region[box], NEIGHBOURS, output=np.int32)
    sizes = np.bincount(numbers.ravel(), minlength=int(count) + 1)
    sizes[0] = 0
    return Parts(box, numbers, sizes)
