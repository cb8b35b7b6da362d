"""How far apart the surfaces of two regions are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from medgen.metrics.masked import Array, Booleans, Floats

_NEAR_MM = 10.0
_MANY, _MANY_FAR = 8, 60
"""One voxel in so many, near a surface and far from it, costs what the box's transform costs."""


def surface(region: Array) -> Booleans:
    """Return a region's voxels that have a face neighbour outside; the volume's border is outside.

    The region less its erosion by the six face neighbours, as MONAI and scipy erode.
    """
    inside = np.asarray(region) > 0
    deep = inside.copy()
    for axis in range(inside.ndim):
        along, around = np.moveaxis(deep, axis, 0), np.moveaxis(inside, axis, 0)
        along[1:] &= around[:-1]
        along[:-1] &= around[1:]
        along[0] = along[-1] = False
    return inside & ~deep


def surface_distances(first: Array, second: Array, *, spacing_mm: Sequence[float]) -> Floats:
    """Return, for each surface voxel of the first region, the distance to the second's nearest.

    Distances in mm between voxel centres, exact; both regions (X, Y, Z) must have a voxel. Surface
    voxels that both share are at distance 0 and are not looked up.
    """
    ours, theirs = surface(first), surface(second)
    apart = ours & ~theirs
    distances = np.zeros(int(np.count_nonzero(ours)))
    found = _distances(apart, theirs, np.asarray(spacing_mm, dtype=np.float64))
    distances[distances.size - found.size :] = found
    return distances


def _distances(asked: Booleans, surface: Booleans, spacing: Floats) -> Floats:
    """Return each asked voxel's distance to the nearest voxel of a surface.

    A tree over the surface is several times faster than a distance transform of the box, unless
    many voxels are asked, or many lie far from everything, as in a noisy answer.
    """
    if np.count_nonzero(asked) * _MANY <= asked.size:
        places = np.argwhere(asked) * spacing
        tree = KDTree(np.argwhere(surface) * spacing, leafsize=32)
        found: Floats = tree.query(places, distance_upper_bound=_NEAR_MM)[0]
        far = np.isinf(found)
        if np.count_nonzero(far) * _MANY_FAR <= asked.size:
            found[far] = tree.query(places[far])[0]
            return found
    transform: Floats = ndimage.distance_transform_edt(~surface, sampling=spacing)
    return transform[asked]


def hausdorff(
    first: Array, second: Array, *, spacing_mm: Sequence[float], percentile: float = 95.0
) -> float:
    """Return the larger of both directions' percentiles of the surface distances, in mm.

    Percentiles are interpolated linearly. NaN where both regions are empty, infinite where one
    is. Equal to MONAI's `compute_hausdorff_distance` with a spacing; 100 is the full distance.
    """
    empty = [not np.any(np.asarray(region) > 0) for region in (first, second)]
    if any(empty):
        return math.nan if all(empty) else math.inf
    return max(
        float(np.percentile(surface_distances(*pair, spacing_mm=spacing_mm), percentile))
        for pair in ((first, second), (second, first))
    )
