"""Where the patient is: the body outline of a volume, by intensity alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from medgen.problems import Problem, Refusal

Mask = NDArray[np.bool_]
Spacing = Sequence[float] | NDArray[np.float64]

AIR_HU = -1000.0

AIR_THRESHOLD_HU = -500.0
"""Midway between air (-1000 HU) and water (0 HU)."""

SMOOTHING_MM = 1.5
"""Width of the Gaussian that keeps noise out of the outline."""

CLOSING_MM = 6.0
"""Radius that seals nostrils, ear canals and a dark skull before holes are filled."""

COARSE_MM = 2.0
"""The spacing at which the body's shape is found; finer volumes are thinned out for it."""

OPENING_MM = 3.0
"""Radius that parts a head from its head rest in CT."""


def outline(values: NDArray[Any], *, unit: str, spacing_mm: Spacing) -> Mask:
    """Find the body: above -500 HU where the unit is HU, else by `body_mask`.

    Takes a volume (X, Y, Z) in physical units; returns a mask (X, Y, Z).

    Raises:
        Refusal: E_EMPTY_BODY where no body stands out.
    """
    if unit.upper() != "HU":
        return body_mask(values, spacing_mm=spacing_mm)
    smooth = _smooth(values, spacing_mm)
    return _solid(smooth > AIR_THRESHOLD_HU, spacing_mm, opening_mm=OPENING_MM)


def body_mask(values: NDArray[Any], *, spacing_mm: Spacing) -> Mask:
    """Find the body by Otsu's threshold, the largest component, with its holes filled.

    Takes a volume (X, Y, Z) in any unit; returns a mask (X, Y, Z). The threshold is taken on the
    square root of the intensity above its background, which a bias field distorts less.

    Raises:
        Refusal: E_EMPTY_BODY where the volume is constant or no body stands out.
    """
    smooth = _smooth(values, spacing_mm)
    low, high = np.percentile(smooth, [1.0, 99.0])
    if not high > low:
        low, high = float(smooth.min()), float(smooth.max())
    if not high > low:
        raise _empty("the volume is constant")
    root = np.sqrt((np.clip(smooth, low, high) - low) / (high - low))
    threshold = float(threshold_otsu(root.ravel(), nbins=256))  # type: ignore[no-untyped-call]
    return _solid(root > threshold, spacing_mm, opening_mm=0.0)


def dice(first: Mask, second: Mask) -> float:
    """Return the Dice overlap of two masks of one shape, in [0, 1]; 0 where both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / total if total else 0.0


def bounding_box(mask: Mask, *, margin: Sequence[int] = (0, 0, 0)) -> tuple[slice, ...]:
    """Return the smallest box around a non-empty mask, widened inside the volume."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(k for k in range(mask.ndim) if k != axis)
        inside = np.flatnonzero(mask.any(axis=others))
        start = max(0, int(inside[0]) - margin[axis])
        box.append(slice(start, min(mask.shape[axis], int(inside[-1]) + 1 + margin[axis])))
    return tuple(box)


RIM_MM = 3.0
"""How far beyond the source's body an answer is shown: an outline is a voxel or two uncertain."""


def with_rim(body: Mask, *, spacing_mm: Spacing) -> Mask:
    """Return the body and the rim around it: where conversion shows a method's answer."""
    return within(body, spacing_mm=spacing_mm, radius_mm=RIM_MM)


def within(mask: Mask, *, spacing_mm: Spacing, radius_mm: float) -> Mask:
    """Return the voxels at most a radius away from a mask, between voxel centres.

    Squared distances are separable: along each axis in turn a parabola is carried no further than
    the radius, which for a few voxels is much faster than a full distance transform.
    """
    squared = np.where(mask, np.float32(0), np.float32(np.inf))
    for axis, spacing in enumerate(spacing_mm):
        before = np.moveaxis(squared.copy(), axis, 0)
        after = np.moveaxis(squared, axis, 0)
        for step in range(1, min(int(radius_mm / float(spacing)), len(after) - 1) + 1):
            cost = np.float32((step * float(spacing)) ** 2)
            np.minimum(after[step:], before[:-step] + cost, out=after[step:])
            np.minimum(after[:-step], before[step:] + cost, out=after[:-step])
    return np.asarray(squared <= radius_mm**2 * (1 + 1e-6))


def closed(mask: Mask, spacing_mm: Spacing, radius_mm: float) -> Mask:
    """Close a mask by a ball, which it goes on beyond the border for: a cut neck stays whole."""
    width = [int(np.ceil(radius_mm / float(spacing))) for spacing in spacing_mm]
    padded = np.pad(mask, [(n, n) for n in width], mode="edge")
    wide = within(padded, spacing_mm=spacing_mm, radius_mm=radius_mm)
    closed = ~within(~wide, spacing_mm=spacing_mm, radius_mm=radius_mm)
    inner = tuple(slice(n, n + size) for n, size in zip(width, mask.shape, strict=True))
    return np.asarray(closed[inner] | mask)


def _smooth(values: NDArray[Any], spacing_mm: Spacing) -> NDArray[np.float32]:
    sigma = [SMOOTHING_MM / float(spacing) for spacing in spacing_mm]
    data = np.asarray(values, dtype=np.float32)
    return np.asarray(ndimage.gaussian_filter(data, sigma, mode="nearest", truncate=3.0))


def _solid(mask: Mask, spacing_mm: Spacing, *, opening_mm: float) -> Mask:
    """Make one solid body of a thresholded volume.

    The shape is found on every n-th voxel, about 2 mm apart; the threshold itself decides again
    within one such step of the surface.
    """
    steps = [max(1, int(COARSE_MM / float(spacing))) for spacing in spacing_mm]
    spread = [float(spacing) * step for spacing, step in zip(spacing_mm, steps, strict=True)]
    coarse = mask[tuple(slice(None, None, step) for step in steps)]
    solid = _one_body(coarse, spread, opening_mm=opening_mm)
    if max(steps) == 1:
        return solid
    neighbours = np.ones((3, 3, 3), dtype=np.bool_)
    core = ndimage.binary_erosion(solid, neighbours, border_value=1)
    reach = ndimage.binary_dilation(solid, neighbours)
    near = mask & _spread(reach, steps, mask.shape)
    return _largest(near | _spread(core, steps, mask.shape))


def _spread(mask: Mask, steps: Sequence[int], shape: Sequence[int]) -> Mask:
    """Repeat each voxel `steps` times along each axis and cut to a shape."""
    for axis, step in enumerate(steps):
        mask = np.repeat(mask, step, axis=axis)
    return mask[tuple(slice(0, count) for count in shape)]


def _one_body(mask: Mask, spacing_mm: Spacing, *, opening_mm: float) -> Mask:
    """Open, keep the largest component, close, and fill holes in the volume and in each slice."""
    if not mask.any():
        raise _empty("no voxel stands out from the background")
    box = bounding_box(mask)
    inside = _opened(mask[box], spacing_mm, opening_mm) if opening_mm else mask[box]
    solid = np.zeros_like(mask)
    solid[box] = _filled(closed(_largest(inside), spacing_mm, CLOSING_MM))
    return solid


def _largest(mask: Mask) -> Mask:
    labels, count = ndimage.label(mask)
    if count == 0:
        raise _empty("no voxel stands out from the background")
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == int(sizes.argmax()))


def _filled(mask: Mask) -> Mask:
    """Fill enclosed holes, then those that are closed within a slice: airways open at the neck."""
    mask = np.asarray(ndimage.binary_fill_holes(mask))
    for axis in range(mask.ndim):
        planes = np.moveaxis(mask, axis, 0)
        filled = np.stack([ndimage.binary_fill_holes(plane) for plane in planes])
        mask = np.moveaxis(filled, 0, axis)
    return np.ascontiguousarray(mask)


def _opened(mask: Mask, spacing_mm: Spacing, radius_mm: float) -> Mask:
    """Open by a ball: what lies within a radius of what is deeper than the radius."""
    deep = ~within(~mask, spacing_mm=spacing_mm, radius_mm=radius_mm)
    return within(deep, spacing_mm=spacing_mm, radius_mm=radius_mm)


def _empty(reason: str) -> Refusal:
    advice = "check that the volume holds a patient, or give a mask column"
    return Refusal(Problem("E_EMPTY_BODY", f"no body was found: {reason}", advice))
