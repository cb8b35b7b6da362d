"""Multi-scale structural similarity inside a mask, as the SynthRAD2025 challenge computes it.

The definition is Wang, Simoncelli and Bovik 2003 (Asilomar, eq. 7) with the challenge's own
choices, which are kept so that its leaderboards can be compared with:

- every scale's luminance, contrast and structure terms carry the same weight; the paper gives
  luminance a weight at the coarsest scale only, and so did the challenge intend (an ordering slip
  in its code assigns the scale weights instead);
- the weights are applied to each voxel's terms, which are then averaged in the mask, scale by
  scale, and the five averages are multiplied;
- a volume shorter than 97 voxels along an axis is padded there by its edge values;
- the next scale is the mean of 2x2x2 voxels, the first of which lies *before* the kept one, and
  zeros lie before the first voxel: borders darken (`fftconvolve(mode="same")`, then every second).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from medgen.metrics.masked import Array, Floats, checked
from medgen.metrics.ssim import interior, moments, shifted, stabilisers

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
LEAST_AXIS = 97
COMFORTABLE_AXIS = 180
"""Below this many voxels per axis, the coarsest scale rests on a handful of voxels."""


class Scale(NamedTuple):
    """One scale's masked mean similarity and the number of mask voxels that it rests on."""

    value: float
    voxels: int


def ms_ssim(
    prediction: Array, reference: Array, mask: Array, *, low: float = -1024.0, high: float = 3000.0
) -> float:
    """Return the product of the five scales' similarities, each clipped to [0, 1].

    Volumes (X, Y, Z) are clipped to [low, high] and set to `low` outside the mask. NaN where some
    scale has no mask voxel left 3 voxels from the border, which small grids suffer from.
    """
    return combined(scales(prediction, reference, mask, low=low, high=high))


def combined(levels: tuple[Scale, ...]) -> float:
    """Return the product of the scales' values, each clipped to [0, 1]; NaN if one is NaN."""
    return math.prod(
        value if math.isnan(value) else min(max(value, 0.0), 1.0) for value, _ in levels
    )


def scales(
    prediction: Array, reference: Array, mask: Array, *, low: float = -1024.0, high: float = 3000.0
) -> tuple[Scale, ...]:
    """Return the masked similarity at each of the five scales, finest first."""
    predicted, expected, inside = checked(prediction, reference, mask)
    padding = [_padding(length) for length in inside.shape]
    predicted = np.pad(shifted(predicted, inside, low, high, clip=True), padding, mode="edge")
    expected = np.pad(shifted(expected, inside, low, high, clip=True), padding, mode="edge")
    inside = np.pad(inside, padding, mode="edge")
    found = []
    for level, weight in enumerate(WEIGHTS):
        if level:
            predicted, expected = halved(predicted), halved(expected)
            inside = inside[(slice(None, None, 2),) * inside.ndim]
        kept = interior(inside)
        voxels = int(np.count_nonzero(kept))
        similarity = _weighted_map(predicted, expected, high - low, weight)
        value = float(interior(similarity)[kept].mean()) if voxels else math.nan
        found.append(Scale(value, voxels))
    return tuple(found)


def _weighted_map(
    prediction: Floats, reference: Floats, data_range: float, weight: float
) -> Floats:
    """Return (luminance * contrast * structure) ^ weight, each term cut at zero from below."""
    local = moments(prediction, reference)
    c1, c2 = stabilisers(data_range)
    deviations = np.sqrt(np.maximum(local.variance_prediction, 0.0))
    deviations *= np.sqrt(np.maximum(local.variance_reference, 0.0))
    similarity = 2 * local.mean_prediction * local.mean_reference + c1
    similarity /= np.square(local.mean_prediction) + np.square(local.mean_reference) + c1
    np.maximum(similarity, 0.0, out=similarity)
    contrast = (2 * deviations + c2) / (local.variance_prediction + local.variance_reference + c2)
    similarity *= np.maximum(contrast, 0.0, out=contrast)
    structure = (local.covariance + c2 / 2) / (deviations + c2 / 2)
    similarity *= np.maximum(structure, 0.0, out=structure)
    return np.power(similarity, weight, out=similarity)


def halved(values: Floats) -> Floats:
    """Return every second voxel of the mean over a voxel and its predecessor along each axis."""
    for axis in range(values.ndim):
        kept = _every_second(values, axis, 0)
        result = 0.5 * kept
        following = (slice(None),) * axis + (slice(1, None),)
        result[following] += (
            0.5
            * _every_second(values, axis, 1)[
                (slice(None),) * axis + (slice(0, kept.shape[axis] - 1),)
            ]
        )
        values = result
    return values


def _every_second(values: Floats, axis: int, first: int) -> Floats:
    """Return a view of every second slice along an axis."""
    return values[(slice(None),) * axis + (slice(first, None, 2),)]


def _padding(length: int) -> tuple[int, int]:
    """Return how many voxels to add before and after, the odd one after."""
    missing = max(0, LEAST_AXIS - length)
    return missing // 2, missing - missing // 2
