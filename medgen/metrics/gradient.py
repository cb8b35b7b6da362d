"""How well edges are kept: the error of the gradient's magnitude inside a mask."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from medgen.metrics.columns import Column
from medgen.metrics.masked import Array, Floats, checked

NO_VOXEL = "gradient_mae is NaN: no voxel of the mask has its six neighbours in the mask"


def column(unit: str) -> Column:
    """Return the column of `gradient_mae` in a unit per mm."""
    return Column(
        "gradient_mae",
        unit,
        "lower",
        "mean absolute difference of the gradients' magnitudes, by central differences per mm, "
        "over voxels of the mask whose six neighbours are in the mask",
    )


def gradient_mae(
    prediction: Array, reference: Array, mask: Array, *, spacing_mm: Sequence[float]
) -> float:
    """Return the mean of ||grad prediction| - |grad reference|| in the volumes' unit per mm.

    Volumes are (X, Y, Z); the gradient is taken by central differences. A voxel counts where its
    six neighbours are in the mask too, so that nothing outside the mask enters; NaN where there is
    none. A smoothed answer scores badly here even where its values are right on average.

    Raises:
        Refusal: E_METRIC_SHAPE, E_METRIC_NONFINITE or E_EMPTY_MASK.
    """
    predicted, expected, inside = checked(prediction, reference, mask)
    (box,) = ndimage.find_objects(inside.view(np.uint8))
    counted = ndimage.binary_erosion(inside[box])
    if not counted.any():
        return math.nan
    steepness = [magnitude(values[box], spacing_mm)[counted] for values in (predicted, expected)]
    return float(np.abs(steepness[0] - steepness[1]).mean())


def magnitude(values: Floats, spacing_mm: Sequence[float]) -> Floats:
    """Return the length of the gradient per mm of a volume with at least two voxels per axis."""
    squares = np.zeros_like(values)
    for axis, spacing in enumerate(spacing_mm):
        squares += np.square(np.gradient(values, spacing, axis=axis))
    return np.sqrt(squares)
