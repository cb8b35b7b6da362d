"""How well two images on one grid agree, by measures that fail for different reasons.

None knows the modality: information asks whether one image's values tell the other's, outlines ask
where the body ends, edges ask where anything changes, and directions ask which way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.registration.information import (
    binned,
    joint_histogram,
    mutual_information,
    normalised_information,
)

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

BINS = 32
EDGE_SCALE_MM = 2.0
"""Width of the Gaussian whose gradient finds edges."""
EDGE_SHARE = 0.3
"""The share of voxels in the common outline that counts as strong edges."""
FEWEST_VOXELS = 1000
"""In a smaller common region nothing can be said."""
THINNEST = 3
"""Nor in one of fewer slices: it has no gradient across them."""


@dataclass(frozen=True)
class Agreement:
    """Measures of one alignment; NaN where the images share too little to measure."""

    mutual_information: float
    """Nats, over both outlines where both images see, from 32 x 32 bins; 0 is chance."""
    normalised_information: float
    """(H(F) + H(M)) / H(F, M) there (Studholme et al. 1999): 1 is chance, 2 is identity."""
    outline_dice: float
    """Overlap of the body outlines where both images see, in [0, 1]."""
    edge_distance_mm: float
    """From each strong edge of one image to the nearest of the other, the mean of both ways."""
    edge_parallel: float
    """Squared cosine between both images' gradients on strong edges, 0 to 1; 1/3 is chance."""
    shared: float
    """The share of the smaller outline that lies where both images see the body, in [0, 1]."""


def agreement(
    fixed: NDArray[Any],
    moved: NDArray[Any],
    *,
    spacing_mm: NDArray[Any],
    fixed_outline: Mask,
    moved_outline: Mask,
    seen: Mask,
) -> Agreement:
    """Measure how well two images on one grid agree.

    Edges are the three tenths of the common outline where the gradient of the image, smoothed by a
    Gaussian of 2 mm, is largest, thinned to ridges. Their mean symmetric distance is that of
    chamfer matching (Borgefors 1988); the squared cosine of gradients is that of normalised
    gradient fields (Haber and Modersitzki 2006). Contrast may be reversed without any change.

    Args:
        fixed: (X, Y, Z) of any unit.
        moved: (X, Y, Z), the moving image on the fixed image's grid.
        spacing_mm: (3,).
        fixed_outline: (X, Y, Z), the body in the fixed image.
        moved_outline: (X, Y, Z), the body in the moving image, carried along.
        seen: (X, Y, Z), the voxels that the moving image's field of view reaches.
    """
    either = seen & (fixed_outline | moved_outline)
    both = seen & fixed_outline & moved_outline
    overlap = float(both.sum())
    sizes = float((seen & fixed_outline).sum()), float((seen & moved_outline).sum())
    dice = 2 * overlap / max(1.0, sum(sizes))
    smaller = min(float(fixed_outline.sum()), float(moved_outline.sum()))
    shared = overlap / max(1.0, smaller)
    unknown = Agreement(np.nan, np.nan, dice, np.nan, np.nan, shared)
    if overlap < FEWEST_VOXELS:
        return unknown
    box = ndimage.find_objects(both.astype(np.uint8))[0]
    region = both[box]
    if min(region.shape) < THINNEST:
        return unknown
    joint = joint_histogram(binned(fixed[either], BINS), binned(moved[either], BINS), BINS)
    first = _Edges.of(fixed, box, region, spacing_mm)
    second = _Edges.of(moved, box, region, spacing_mm)
    distance = (first.distance_mm(second) + second.distance_mm(first)) / 2
    return Agreement(
        mutual_information=mutual_information(joint),
        normalised_information=normalised_information(joint),
        outline_dice=dice,
        edge_distance_mm=distance,
        edge_parallel=(first.parallel(second) + second.parallel(first)) / 2,
        shared=shared,
    )


@dataclass(frozen=True, eq=False)
class _Edges:
    gradient: Floats
    """(3, X, Y, Z), per mm."""
    ridges: Mask
    spacing_mm: NDArray[Any]

    @classmethod
    def of(
        cls, values: NDArray[Any], box: tuple[slice, ...], region: Mask, spacing_mm: NDArray[Any]
    ) -> _Edges:
        data = np.asarray(values[box], np.float32)
        sigma = [EDGE_SCALE_MM / float(spacing) for spacing in spacing_mm]
        smooth = ndimage.gaussian_filter(data, sigma, mode="nearest", truncate=3.0)
        gradient = np.stack(np.gradient(smooth, *map(float, spacing_mm)))
        strength = np.sqrt((gradient**2).sum(0))
        # The rim of the region is left out: there the filter saw what only one image shows.
        inner = ndimage.binary_erosion(region, iterations=2)
        if not inner.any():
            inner = region
        least = np.quantile(strength[inner], 1 - EDGE_SHARE)
        strong = inner & (strength >= least) & (strength > 0)
        return cls(gradient, strong & _ridge(gradient, strength), spacing_mm)

    def distance_mm(self, other: _Edges) -> float:
        """Return the mean distance from these edges to the other's nearest."""
        if not self.ridges.any() or not other.ridges.any():
            return float("nan")
        away = ndimage.distance_transform_edt(~other.ridges, sampling=self.spacing_mm)
        return float(away[self.ridges].mean())

    def parallel(self, other: _Edges) -> float:
        """Return the mean squared cosine between both gradients on these edges."""
        mine, theirs = self.gradient[:, self.ridges], other.gradient[:, self.ridges]
        lengths = (mine**2).sum(0) * (theirs**2).sum(0)
        cosines = (mine * theirs).sum(0) ** 2 / np.maximum(lengths, 1e-20)
        return float(cosines[lengths > 0].mean()) if (lengths > 0).any() else float("nan")


def _ridge(gradient: Floats, strength: Floats) -> Mask:
    """Tell where the gradient is largest along the axis that it runs closest to."""
    main = np.abs(gradient).argmax(axis=0)
    ridge = np.zeros(strength.shape, np.bool_)
    for axis in range(3):
        before, after = np.roll(strength, 1, axis), np.roll(strength, -1, axis)
        ridge |= (main == axis) & (strength >= before) & (strength > after)
    return ridge
