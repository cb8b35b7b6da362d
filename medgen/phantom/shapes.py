"""Signed distances (mm, negative inside) of simple solids, and what share of a voxel they fill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
"""Voxel values; single precision wherever a whole volume is held."""
Point = tuple[float, float, float]


def ellipsoid(x: Array, y: Array, z: Array, centre: Point, radii: Point) -> Array:
    """Return the first-order signed distance to an axis-aligned ellipsoid; exact for a sphere."""
    p = (x - centre[0]) / radii[0]
    q = (y - centre[1]) / radii[1]
    r = (z - centre[2]) / radii[2]
    k0 = p * p + q * q + r * r
    p /= radii[0]
    q /= radii[1]
    r /= radii[2]
    k1 = np.sqrt(p * p + q * q + r * r) + np.float32(1e-6)
    np.sqrt(k0, out=k0)
    distance: Array = k0 * (k0 - 1.0) / k1
    return distance


def superellipsoid(
    x: Array, y: Array, z: Array, centre: Point, radii: Point, *, power: float = 2.5
) -> Array:
    """Return the first-order signed distance to an ellipsoid with squarer shoulders."""
    parts = [
        np.abs((axis - c) / r) + np.float32(1e-4)
        for axis, c, r in zip((x, y, z), centre, radii, strict=True)
    ]
    powers = [part ** np.float32(power) for part in parts]
    level = sum(powers) ** np.float32(1.0 / power)
    slopes = [p / part / r for p, part, r in zip(powers, parts, radii, strict=True)]
    slope = np.sqrt(sum(s * s for s in slopes)) * level ** np.float32(1.0 - power)
    distance: Array = (level - 1.0) / (slope + np.float32(1e-6))
    # Far inside, where the slope vanishes, the centre is no deeper than the shortest radius.
    return np.maximum(distance, np.float32(-min(radii)))


def capsule(
    x: Array, y: Array, z: Array, start: Point, end: Point, radii: tuple[float, float]
) -> Array:
    """Return the signed distance to a rod with round ends, its radius linear from end to end."""
    axis = [b - a for a, b in zip(start, end, strict=True)]
    dx, dy, dz = x - start[0], y - start[1], z - start[2]
    along = (dx * axis[0] + dy * axis[1] + dz * axis[2]) / sum(a * a for a in axis)
    np.clip(along, 0.0, 1.0, out=along)
    dx -= along * axis[0]
    dy -= along * axis[1]
    dz -= along * axis[2]
    distance: Array = np.sqrt(dx * dx + dy * dy + dz * dz)
    distance -= radii[0] + along * (radii[1] - radii[0])
    return distance


def chain(x: Array, y: Array, z: Array, points: Sequence[Point], radii: Sequence[float]) -> Array:
    """Return the signed distance to capsules strung through points, a radius at each."""
    links = [
        capsule(x, y, z, points[i], points[i + 1], (radii[i], radii[i + 1]))
        for i in range(len(points) - 1)
    ]
    nearest: Array = np.minimum.reduce(links)
    return nearest


def joined(first: Array, second: Array, *, blend_mm: float) -> Array:
    """Return the union of two solids, its crease filled over `blend_mm` (polynomial blend)."""
    share = np.clip(0.5 + 0.5 * (second - first) / blend_mm, 0.0, 1.0)
    union: Array = second + share * (first - second) - blend_mm * share * (1.0 - share)
    return union


def cut(solid: Array, tool: Array, *, blend_mm: float) -> Array:
    """Return a solid less another, its edge rounded over `blend_mm`."""
    return -joined(-solid, tool, blend_mm=blend_mm)


def filled(distance: Array, voxel_mm: float) -> Array:
    """Return the share of each voxel inside a surface, 0 to 1, from distances at its centre."""
    share = distance * np.float32(-1.0 / voxel_mm)
    share += np.float32(0.5)
    return np.clip(share, 0.0, 1.0, out=share)


def ramp(values: Array, low: float, high: float) -> Array:
    """Return a smooth step: 0 below `low`, 1 above `high`."""
    t = np.clip((values - low) / (high - low), 0.0, 1.0)
    step: Array = t * t * (3.0 - 2.0 * t)
    return step
