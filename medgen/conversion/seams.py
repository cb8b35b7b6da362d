"""Seam energy of one answer: how much rougher it is where windows meet than just beside.

Where two neighbouring windows weigh the same, halfway through their overlap, the answer changes
hands, within a voxel or two since the weights are Gaussian. Let J be the mean of
|v[i+1] - 2 v[i] + v[i-1]|, the jump of the gradient across a voxel, along the axis that the windows
follow, inside the body. The energy is J within two voxels of where the answer changes hands over J
from three to ten voxels away: anatomy changes over more, so that most of it is in both. 1 is no
seam. It is smoothed by (1, 2, 1) / 4 along each axis first, which takes out a checkerboard, in
which seams would drown. `benchmarks/seam_energy.py` has the same beside a whole-volume answer,
which a conversion does not have.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medgen.conversion.tiling import Tiling
from medgen.data.masks import Mask

BAND = 2
"""Voxels on either side of where an answer changes hands that count as the seam."""

BESIDE = 10
"""Voxels as far as which what lies beside a seam is compared with it."""

PLANES = 64
"""Planes across the two other axes that are looked at, of each: a seam is as long as the body."""


@dataclass(frozen=True)
class Meeting:
    """Where two neighbouring windows meet along an axis."""

    axis: int
    at: float
    """The voxel, or between which two, that both answer with one weight."""
    overlap: int


def meetings_of(tiling: Tiling) -> list[Meeting]:
    """Return where neighbouring windows meet, in voxels of the volume."""
    found = []
    for number, axis in enumerate(tiling.axes):
        for first, second in itertools.pairwise(axis.starts):
            at = (first + second + axis.size - 1) / 2 - axis.before
            found.append(Meeting(number, at, first + axis.size - second))
    return found


def seam_energy(answer: NDArray[np.float32], body: Mask, tiling: Tiling) -> float | None:
    """Return the largest energy over the axes of an encoded answer (X, Y, Z).

    None where no windows meet inside the body.
    """
    energies = []
    meetings = meetings_of(tiling)
    for axis in sorted({each.axis for each in meetings}):
        places = [each.at for each in meetings if each.axis == axis]
        energy = _along(answer, body, axis, places)
        energies += [] if energy is None else [energy]
    return max(energies) if energies else None


def _along(answer: NDArray[np.float32], body: Mask, axis: int, places: list[float]) -> float | None:
    """Return the energy along one axis, over all places where windows meet on it."""
    smooth = np.moveaxis(answer, axis, 0)
    turned = np.moveaxis(body, axis, 0)
    every = tuple(slice(None, None, max(1, count // PLANES)) for count in turned.shape[1:])
    smooth = _smoothed(smooth[:, every[0], every[1]])
    turned = turned[:, every[0], every[1]]
    if len(turned) < 3:
        return None
    jumps = np.abs(np.diff(smooth, n=2, axis=0))
    seen = turned[1:-1] & turned[2:] & turned[:-2]
    at = np.arange(1, len(turned) - 1)
    away = np.min(np.abs(at[:, None] - np.asarray(places)[None]), axis=1)
    near, beside = away <= BAND, (away > BAND) & (away <= BESIDE)
    close, elsewhere = jumps[near][seen[near]], jumps[beside][seen[beside]]
    if not close.size or not elsewhere.size or not elsewhere.mean():
        return None
    return float(close.mean() / elsewhere.mean())


def _smoothed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values smoothed by (1, 2, 1) / 4 along each axis, edges repeated."""
    for axis in range(values.ndim):
        wide = np.moveaxis(
            np.pad(values, [(int(k == axis),) * 2 for k in range(3)], "edge"), axis, 0
        )
        soft = 0.25 * wide[:-2] + 0.5 * wide[1:-1] + 0.25 * wide[2:]
        values = np.moveaxis(soft, 0, axis)
    return values
