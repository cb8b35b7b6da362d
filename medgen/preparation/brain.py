"""A brain-like mask of a whole-head T1: where the brain is, by intensity and shape alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from medgen.data.masks import Mask, closed
from medgen.preparation.surface import Levels, filled, settle
from medgen.problems import Problem, Refusal
from medgen.volumes import Grid, ras_permutation, resample, working_grid

FOUND_AT_MM = 2.0
HEAD_MM = 150.0
"""How far below the top of the head the brain is looked for: necks are of any length."""

CONTRASTS = (0.5, 0.6, 0.7)
"""From the surface that reaches farthest to the most cautious one."""
LEAK = 1.2
"""How much larger than the next more cautious surface one may be, if that one is as solid. Where it
is more, it has run out through the skull, which is less dark in blurred images."""
CLOSING_MM = 10.0
"""Radius of the ball that closes sulci."""

SMALLEST_ML, LARGEST_ML = 600.0, 2200.0
"""No child of a year or older, and no adult, lies beyond."""
LEAST_SOLID = 0.65
"""Share of its convex hull that a brain fills; 0.8 to 0.9 on real heads, 0.1 to 0.3 when lost."""


def brain_mask(values: NDArray[Any], grid: Grid, body: Mask) -> Mask:
    """Find the brain in a whole-head T1 by a surface that settles on it.

    Takes a volume (X, Y, Z) on its grid and its body's mask; returns a mask (X, Y, Z). The surface
    is that of Smith (2002), see `surface.py`, found at 2 mm; sulci are closed. The mask is
    brain-like: it holds the fluid in and around the brain and strays by some millimetres, most at
    the skull base and where old brains have shrunk. It needs a T1 with skin, air around it, and the
    top of the head in view. Dice against the masks that came with real heads: 0.87 to 0.97, median
    0.96, on ten healthy ones that nothing was chosen on; 0.86 to 0.96, median 0.92, on eighteen old
    ones, nine of whom were looked at (`tests/preparation/test_brain.py`, slow and real).

    Raises:
        Refusal: E_BRAIN_IMPLAUSIBLE where no surface settles on what could be a brain.
    """
    native = grid.spacing_mm[list(ras_permutation(grid.affine)[0])]
    coarse = working_grid(grid, np.maximum(FOUND_AT_MM, native).tolist())
    thin = resample(values, grid, coarse)
    inside = resample(body.astype(np.uint8), grid, coarse, order=0) > 0
    found = _chosen(thin, inside, coarse.spacing_mm)
    whole = closed(found.mask, coarse.spacing_mm, CLOSING_MM) & inside
    return resample(whole.astype(np.float32), coarse, grid, outside=0.0) >= 0.5


@dataclass(frozen=True, eq=False)
class _Settled:
    """Where a surface has settled."""

    mask: Mask
    millilitres: float
    solid: float

    @property
    def plausible(self) -> bool:
        return SMALLEST_ML <= self.millilitres <= LARGEST_ML and self.solid >= LEAST_SOLID

    def leaked_beside(self, nearer: _Settled) -> bool:
        """Tell whether this surface has run out where a more cautious one has not.

        One that is smaller because it has lost brain is ragged, and no better.
        """
        larger = self.millilitres > LEAK * nearer.millilitres
        return larger and nearer.plausible and nearer.solid >= self.solid - 0.01


def _chosen(values: NDArray[np.float32], body: Mask, spacing_mm: NDArray[np.float64]) -> _Settled:
    """Return the farthest surface that is plausible and has not leaked."""
    start = _start(values, body, spacing_mm)
    further = _settled(values, spacing_mm, start, CONTRASTS[0])
    for contrast in CONTRASTS[1:]:
        nearer = _settled(values, spacing_mm, start, contrast)
        if further.plausible and not further.leaked_beside(nearer):
            return further
        further = nearer
    if not further.plausible:
        size = f"the surface holds {further.millilitres:.0f} ml"
        raise _implausible(f"{size} and fills {min(further.solid, 1.0):.0%} of its hull")
    return further


@dataclass(frozen=True, eq=False)
class _Start:
    """Where the search begins, and the intensities that guide it."""

    centre_mm: NDArray[np.float64]
    radius_mm: float
    levels: Levels


def _start(values: NDArray[np.float32], body: Mask, spacing_mm: NDArray[np.float64]) -> _Start:
    """Find the middle of the head in a RAS-ordered volume."""
    low, high = (float(end) for end in np.percentile(values, [2.0, 98.0]))
    threshold = low + 0.1 * (high - low)
    top = int(np.flatnonzero(body.any(axis=(0, 1)))[-1])
    bright = body & (values > threshold)
    bright[:, :, : max(0, top - round(HEAD_MM / float(spacing_mm[2])))] = False
    if not bright.any():
        raise _implausible("nothing in the head is brighter than air")
    places = np.argwhere(bright) * spacing_mm
    weights = np.minimum(values[bright], high).astype(np.float64)
    centre = (places * weights[:, None]).sum(axis=0) / weights.sum()
    radius = float((len(places) * np.prod(spacing_mm) * 3 / (4 * np.pi)) ** (1 / 3))
    central = np.linalg.norm(places - centre, axis=1) < radius
    if not central.any():
        raise _implausible("there is nothing in the middle of the head")
    median = max(float(np.median(values[bright][central])), threshold)
    return _Start(centre, radius, Levels(low, threshold, median))


def _settled(
    values: NDArray[np.float32], spacing_mm: NDArray[np.float64], start: _Start, contrast: float
) -> _Settled:
    """Let a surface settle, and measure what it holds."""
    points, faces = settle(
        values,
        spacing_mm=spacing_mm,
        centre_mm=start.centre_mm,
        radius_mm=start.radius_mm,
        levels=start.levels,
        contrast=contrast,
    )
    if not np.isfinite(points).all():
        raise _implausible("the surface did not settle")
    mask = filled(points, faces, values.shape, spacing_mm)
    millilitres = float(mask.sum() * np.prod(spacing_mm)) / 1000
    hull = float(ConvexHull(points, qhull_options="QJ").volume) / 1000
    return _Settled(mask, millilitres, millilitres / max(hull, 1e-6))


def _implausible(reason: str) -> Refusal:
    advice = "brain needs a whole-head T1 as the fixed column; give your own mask by --carry"
    return Refusal(
        Problem("E_BRAIN_IMPLAUSIBLE", f"no plausible brain was found: {reason}", advice)
    )
