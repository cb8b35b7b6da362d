"""What is unusual by intensity alone: how far each voxel is from the rest of its own brain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from medgen.baselines.threshold import Mask
from medgen.config import ZScoreScale
from medgen.data import measure
from medgen.volumes import Volume

_PLAIN = ZScoreScale(scale="z_score", deviations=1.0)


@dataclass(frozen=True)
class IntensityZ:
    """Answer each voxel's distance from the mask's mean, in its standard deviations.

    Nothing is learned: it knows neither labels nor healthy people, only that unusual tissue may be
    unusually bright or dark.
    """

    name: ClassVar[str] = "intensity_z"

    def predict(self, image: Volume, inside: Mask) -> NDArray[np.float32]:
        """Return signed z-scores (X, Y, Z) on the image's own grid, 0 outside the mask.

        Raises:
            Refusal: E_FLAT_INTENSITY where the image is constant inside the mask, or has none.
        """
        return standardised(image, inside)


def standardised(image: Volume, inside: Mask) -> NDArray[np.float32]:
    """Return intensities with mean 0 and standard deviation 1 inside the mask, and 0 outside.

    Raises:
        Refusal: E_FLAT_INTENSITY where the image is constant inside the mask, or has none.
    """
    values = measure(_PLAIN, image.data, inside).encode(image.data)
    return np.where(inside, values, np.float32(0.0))
