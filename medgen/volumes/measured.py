"""Where a volume holds measurements: inside its field of view, and not padded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medgen.volumes.grid import Grid
from medgen.volumes.overlap import field_of_view
from medgen.volumes.resampling import resample
from medgen.volumes.volume import Volume


def where_measured(volume: Volume, destination: Grid) -> NDArray[np.bool_]:
    """Tell at which voxels of `destination` a volume measured something.

    That is inside its field of view, less the voxels that the scanner padded.
    """
    inside = field_of_view(volume.grid, destination)
    if volume.valid is not None:
        valid = volume.valid.astype(np.uint8)
        inside &= resample(valid, volume.grid, destination, order=0, outside=0.0) > 0
    return inside
