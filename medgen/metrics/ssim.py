"""Structural similarity inside a mask (Wang et al. 2004, IEEE TIP 13:600)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter

from medgen.metrics.masked import Array, Booleans, Floats, checked

WINDOW = 7
RADIUS = WINDOW // 2


class Moments(NamedTuple):
    """Local means, sample variances and sample covariance over windows of 7 voxels per axis."""

    mean_prediction: Floats
    mean_reference: Floats
    variance_prediction: Floats
    variance_reference: Floats
    covariance: Floats


def moments(prediction: Floats, reference: Floats) -> Moments:
    """Return the local moments of two volumes; borders of 3 voxels are not meaningful."""
    sample = WINDOW**prediction.ndim / (WINDOW**prediction.ndim - 1)
    first: Floats = uniform_filter(prediction, WINDOW)
    second: Floats = uniform_filter(reference, WINDOW)
    return Moments(
        first,
        second,
        sample * (uniform_filter(prediction * prediction, WINDOW) - first * first),
        sample * (uniform_filter(reference * reference, WINDOW) - second * second),
        sample * (uniform_filter(prediction * reference, WINDOW) - first * second),
    )


def stabilisers(data_range: float) -> tuple[float, float]:
    """Return the constants C1 = (0.01 R)^2 and C2 = (0.03 R)^2."""
    return (0.01 * data_range) ** 2, (0.03 * data_range) ** 2


def ssim_map(prediction: Floats, reference: Floats, data_range: float) -> Floats:
    """Return the similarity around each voxel; borders of 3 voxels are not meaningful."""
    local = moments(prediction, reference)
    c1, c2 = stabilisers(data_range)
    mean_product = local.mean_prediction * local.mean_reference
    mean_squares = np.square(local.mean_prediction) + np.square(local.mean_reference)
    variances = local.variance_prediction + local.variance_reference
    numerator = (2 * mean_product + c1) * (2 * local.covariance + c2)
    similarity: Floats = numerator / ((mean_squares + c1) * (variances + c2))
    return similarity


def interior(values: Array) -> Array:
    """Return a view without the border of 3 voxels; empty where an axis is shorter than 7."""
    if min(values.shape) < WINDOW:
        return values[(slice(0, 0),) * values.ndim]
    return values[(slice(RADIUS, -RADIUS),) * values.ndim]


def ssim(
    prediction: Array, reference: Array, mask: Array, *, low: float, high: float, clip: bool = True
) -> float:
    """Return the mean structural similarity inside the mask.

    Both volumes are clipped to [low, high] (unless `clip` is off), set to `low` outside the mask
    and shifted so that `low` is 0; uniform window of 7 voxels per axis, sample covariance, data
    range high - low. The mean runs over mask voxels at least 3 voxels from the border; NaN where
    there is none. With low=-1024 and high=3000 this is the definition of SynthRAD2023.
    """
    predicted, expected, inside = checked(prediction, reference, mask)
    box = _box(inside)
    counted = np.zeros_like(inside)
    interior(counted)[...] = interior(inside)
    counted = counted[box]
    if min(inside.shape) < WINDOW or not counted.any():
        return math.nan
    predicted = shifted(predicted[box], inside[box], low, high, clip=clip)
    expected = shifted(expected[box], inside[box], low, high, clip=clip)
    return float(ssim_map(predicted, expected, high - low)[counted].mean())


def shifted(values: Floats, inside: Booleans, low: float, high: float, *, clip: bool) -> Floats:
    """Return values - low, clipped to [low, high] first if wanted, and 0 outside the mask."""
    kept = np.clip(values, low, high) if clip else values
    return np.where(inside, kept - low, 0.0)


def _box(inside: Booleans) -> tuple[slice, ...]:
    """Return the mask's bounding box, grown by a window's radius: all that the mean depends on."""
    box = []
    for axis in range(inside.ndim):
        others = tuple(other for other in range(inside.ndim) if other != axis)
        hits = np.flatnonzero(inside.any(axis=others))
        box.append(slice(max(0, int(hits[0]) - RADIUS), int(hits[-1]) + RADIUS + 1))
    return tuple(box)
