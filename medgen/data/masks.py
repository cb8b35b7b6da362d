"""Where the patient is: the body outline of a volume, by intensity alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from medgen.problems import Problem, Refusal
from medgen.volumes import smoothed

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
    least = values.min()
    if not values.max() > least:
        raise _empty("the volume is constant")
    # Far from zero single precision would round away what stands out.
    smooth = _smooth(np.subtract(values, least, dtype=np.float32), spacing_mm)
    low, high = (np.float32(end) for end in np.percentile(smooth, [1.0, 99.0]))
    if not high > low:
        low, high = smooth.min(), smooth.max()
    if not high > low:
        raise _empty("the volume is constant")
    root = np.clip(smooth, low, high, out=smooth)
    root -= low
    root /= high - low
    np.sqrt(root, out=root)
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
    """Return the voxels at most a radius away from a mask (X, Y, Z), between voxel centres.

    A ball is columns of voxels: the mask grown along the last axis by each height of them, eight
    voxels to a byte, is then laid over itself at the columns' places.
    """
    near = np.zeros(mask.shape, dtype=np.bool_)
    if not mask.any():
        return near
    reach = [
        min(int(radius_mm / float(spacing)), count - 1)
        for spacing, count in zip(spacing_mm, mask.shape, strict=True)
    ]
    box = bounding_box(mask, margin=reach)
    grown = _grown(mask[box], _heights(reach, spacing_mm, radius_mm))
    near[box] = np.unpackbits(grown, axis=2, count=near[box].shape[2]).view(np.bool_)
    return near


def _heights(reach: Sequence[int], spacing_mm: Spacing, radius_mm: float) -> NDArray[np.intp]:
    """Return a ball's half heights by the steps along the first two axes; -1 where it has none."""
    x, y, z = (
        np.array([(step * float(spacing)) ** 2 for step in range(n + 1)], dtype=np.float32)
        for n, spacing in zip(reach, spacing_mm, strict=True)
    )
    squared = (x[:, None] + y)[:, :, None] + z
    inside = squared <= np.float32(radius_mm**2 * (1 + 1e-6))
    return np.asarray(inside.sum(axis=2) - 1)


def _grown(mask: Mask, heights: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Return a mask grown by columns of these half heights, packed along its last axis."""
    columns = [np.packbits(mask, axis=2)]
    tall = mask.copy()
    for step in range(1, int(heights.max()) + 1):
        _lay(tall, mask, step, axis=2)
        columns.append(np.packbits(tall, axis=2))
    grown = np.zeros_like(columns[0])
    for i, row in enumerate(heights):
        if row[0] < 0:
            break
        sheet = columns[row[0]].copy()
        for j, height in enumerate(row[1:], start=1):
            if height >= 0:
                _lay(sheet, columns[height], j, axis=1)
        _lay(grown, sheet, i, axis=0)
    return grown


def _lay(over: NDArray[Any], what: NDArray[Any], step: int, *, axis: int) -> None:
    """Lay an array over another one, in place, shifted to both sides along an axis."""
    size = what.shape[axis]
    if step >= size:
        return
    over, what = np.moveaxis(over, axis, 0), np.moveaxis(what, axis, 0)
    over[step:] |= what[: size - step]
    if step:
        over[: size - step] |= what[step:]


def closed(mask: Mask, spacing_mm: Spacing, radius_mm: float) -> Mask:
    """Close a mask by a ball, which it goes on beyond the border for: a cut neck stays whole."""
    width = [int(np.ceil(radius_mm / float(spacing))) for spacing in spacing_mm]
    padded = np.pad(mask, [(n, n) for n in width], mode="edge")
    wide = within(padded, spacing_mm=spacing_mm, radius_mm=radius_mm)
    closed = ~within(~wide, spacing_mm=spacing_mm, radius_mm=radius_mm)
    inner = tuple(slice(n, n + size) for n, size in zip(width, mask.shape, strict=True))
    return np.asarray(closed[inner] | mask)


def _smooth(values: NDArray[Any], spacing_mm: Spacing) -> NDArray[np.float32]:
    """Return new values without the noise, float32."""
    sigma = [SMOOTHING_MM / float(spacing) for spacing in spacing_mm]
    return smoothed(values, sigma, truncate=3.0)


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
    """Return the largest of a mask's connected parts, the first of equal ones."""
    if not mask.any():
        raise _empty("no voxel stands out from the background")
    box = bounding_box(mask)
    labels, count = ndimage.label(mask[box])
    if count == 1:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest = np.zeros_like(mask)
    largest[box] = labels == int(sizes.argmax())
    return largest


def _filled(mask: Mask) -> Mask:
    """Fill enclosed holes, then those that are closed within a slice: airways open at the neck."""
    mask = _holes_filled(mask, axes=(0, 1, 2))
    for axis in range(3):
        mask = _holes_filled(mask, axes=tuple(k for k in range(3) if k != axis))
    return mask


def _holes_filled(mask: Mask, *, axes: tuple[int, ...]) -> Mask:
    """Fill what is not connected, along these axes alone, with a border that they meet."""
    cross = ndimage.generate_binary_structure(3, 1)
    for axis in {0, 1, 2} - set(axes):
        np.moveaxis(cross, axis, 0)[[0, 2]] = False
    labels, count = ndimage.label(~mask, cross)
    outside = np.zeros(count + 1, dtype=np.bool_)
    for axis in axes:
        outside[np.moveaxis(labels, axis, 0)[[0, -1]]] = True
    outside[0] = False  # the mask itself
    return np.asarray(~outside[labels])


def _opened(mask: Mask, spacing_mm: Spacing, radius_mm: float) -> Mask:
    """Open by a ball: what lies within a radius of what is deeper than the radius."""
    deep = ~within(~mask, spacing_mm=spacing_mm, radius_mm=radius_mm)
    return within(deep, spacing_mm=spacing_mm, radius_mm=radius_mm)


def _empty(reason: str) -> Refusal:
    advice = "check that the volume holds a patient, or give a mask column"
    return Refusal(Problem("E_EMPTY_BODY", f"no body was found: {reason}", advice))
