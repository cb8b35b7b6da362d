"""Seam energy: how much rougher an answer is where windows meet than one that has no windows.

Where two neighbouring windows weigh the same, halfway through their overlap, the answer changes
hands, within a voxel or two since the weights are Gaussian. Let J be the mean of
|v[i+1] - 2 v[i] + v[i-1]|, the jump of the gradient across a voxel, along the axis that the
windows follow, inside the body. The energy is J within two voxels of where the answer changes hands
over J elsewhere, divided by the same of the answer to the whole volume at once, which changes hands
nowhere: anatomy that happens to lie there is in both. 1 is no seam. Answers are smoothed by
(1, 2, 1) / 4 along each axis first, which takes out a checkerboard, in which seams would drown.

On smooth noise of unit variance, windows of 48 voxels that differ by normal constants of variance
1 have 1.75 without overlap, 1.11 with 8 voxels, 1.03 with 16 and 1.01 with 24.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.conversion.seams import Meeting
from medgen.conversion.tiling import Axis

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
BAND = 2
"""Voxels on either side of where an answer changes hands that count as the seam."""


def exactly(axis: Axis, overlap: int, phase: int) -> Axis:
    """Return windows of an axis that overlap by the least that the phase allows."""
    stride = max(phase, (axis.size - overlap) // phase * phase)
    count = 1 + math.ceil(max(0, axis.length - axis.size) / stride)
    starts = tuple(stride * number for number in range(count))
    return Axis(axis.length, (starts[-1] + axis.size - axis.length) // 2, axis.size, starts)


def energy_of(
    answer: Array,
    whole: Array,
    body: Mask,
    meetings: Sequence[Meeting],
    *,
    others: Sequence[Meeting] = (),
) -> float:
    """Return the seam energy over some meetings; NaN where none lies in the body, 1 without any.

    Where windows meet in `others` is neither at the seam nor elsewhere.
    """
    if not meetings:
        return 1.0
    ratios = []
    for values in (answer, whole):
        near, far = [], []
        smooth = values
        for axis in range(3):
            smooth = ndimage.convolve1d(smooth, (0.25, 0.5, 0.25), axis=axis, mode="nearest")
        for axis in sorted({each.axis for each in meetings}):
            jumps = np.abs(np.diff(np.moveaxis(smooth, axis, 0), n=2, axis=0))
            turned = np.moveaxis(body, axis, 0)
            seen = turned[1:-1] & turned[2:] & turned[:-2]
            places = np.arange(1, len(turned) - 1)
            close = _beside(places, meetings, axis)
            away = ~close & ~_beside(places, others, axis)
            near.append(jumps[close][seen[close]])
            far.append(jumps[away][seen[away]])
        beside, elsewhere = np.concatenate(near), np.concatenate(far)
        if not beside.size or not elsewhere.size or not elsewhere.mean():
            return float("nan")
        ratios.append(float(beside.mean() / elsewhere.mean()))
    return ratios[0] / ratios[1] if ratios[1] else float("nan")


def _beside(places: NDArray[np.int_], meetings: Sequence[Meeting], axis: int) -> Mask:
    """Tell which places along an axis lie where windows meet."""
    found = np.zeros(len(places), dtype=np.bool_)
    for each in meetings:
        if each.axis == axis:
            found |= np.abs(places - each.at) <= BAND
    return found
