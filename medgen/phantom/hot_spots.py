"""Small lesions with high FDG uptake, which leave no trace in MR or CT."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medgen.phantom.points import Points
from medgen.phantom.randomness import Streams
from medgen.phantom.shapes import Array, Point, ellipsoid, filled

# Head coordinates (mm): neck nodes, glands, tonsil, marrow of the vault and mastoid, white matter.
SITES: tuple[Point, ...] = (
    (48, -16, -86),
    (38, 0, -90),
    (58, -8, -76),
    (20, -4, -80),
    (40, 30, -78),
    (66, -40, 34),
    (30, 60, 42),
    (26, -30, 30),
    (24, 30, 24),
    (44, -58, -66),
)


@dataclass(frozen=True)
class HotSpot:
    """A small ball of uptake, in head coordinates."""

    centre_mm: Point
    radius_mm: float
    suv: float


def draw_hot_spots(streams: Streams) -> tuple[HotSpot, ...]:
    """Draw one to three hot spots of radius 3-6 mm and 6-15 SUV at different sites."""
    generator = streams("hot spots")
    places = generator.choice(len(SITES), size=int(generator.integers(1, 4)), replace=False)
    spots = []
    for place in sorted(int(index) for index in places):
        x, y, z = np.array(SITES[place]) + generator.uniform(-4.0, 4.0, 3)
        side = float(generator.choice([-1.0, 1.0]))
        radius, suv = float(generator.uniform(3.0, 6.0)), float(generator.uniform(6.0, 15.0))
        spots.append(HotSpot((side * float(x), float(y), float(z)), radius, suv))
    return tuple(spots)


def settle(spots: tuple[HotSpot, ...], points: Points) -> tuple[Array, Array]:
    """Return each voxel's share of hot spots, and that share times their uptake (SUV)."""
    share = np.zeros(points.x.shape, np.float32)
    uptake = np.zeros(points.x.shape, np.float32)
    for spot in spots:
        block, p = points.near(spot.centre_mm, spot.radius_mm + points.voxel_mm)
        ball = ellipsoid(p.x, p.y, p.z, spot.centre_mm, (spot.radius_mm,) * 3)
        part = filled(ball, points.voxel_mm)
        share[block.slices] = np.maximum(share[block.slices], part)
        uptake[block.slices] = np.maximum(uptake[block.slices], part * np.float32(spot.suv))
    return share, uptake
