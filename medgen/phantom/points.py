"""Where a grid's voxels lie in the head: pose, smooth warp, mass effect, and blocks to work in.

Head coordinates are millimetres, right-anterior-superior, with the origin near the anterior
commissure and the proportions of the usual stereotaxic spaces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medgen.phantom.randomness import Field, Streams, smooth_field
from medgen.phantom.shapes import Array, Point

Displace = Callable[[Array, Array, Array], tuple[Array, Array, Array]]


@dataclass(frozen=True)
class Block:
    """A rectangular part of a volume."""

    slices: tuple[slice, slice, slice]

    @staticmethod
    def whole() -> Block:
        """Return the block that is the whole volume."""
        return Block((slice(None), slice(None), slice(None)))


@dataclass(frozen=True, eq=False)
class Points:
    """Head coordinates (mm) of every voxel, and the rough way back to their indices."""

    x: Array
    y: Array
    z: Array
    voxel_mm: float
    to_head: NDArray[np.float64]
    slack_mm: float

    def near(self, centre: Point, reach_mm: float | Point) -> tuple[Block, Points]:
        """Return the block that surely holds a box around a centre, and its points."""
        reach = np.broadcast_to(np.asarray(reach_mm, float), 3) + self.slack_mm
        signs = np.stack(np.meshgrid(*[(-1, 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
        corners = np.asarray(centre) + signs * reach
        inverse = np.linalg.inv(self.to_head)
        index = corners @ inverse[:3, :3].T + inverse[:3, 3]
        low = np.clip(np.floor(index.min(0)).astype(int), 0, self.x.shape)
        high = np.clip(np.ceil(index.max(0)).astype(int) + 1, low, self.x.shape)
        first, second, third = (slice(a, b) for a, b in zip(low, high, strict=True))
        slices = (first, second, third)
        moved = self.to_head.copy()
        moved[:3, 3] += self.to_head[:3, :3] @ low
        part = Points(
            self.x[slices], self.y[slices], self.z[slices], self.voxel_mm, moved, self.slack_mm
        )
        return Block(slices), part


@dataclass(frozen=True, eq=False)
class Pose:
    """How a head lies in the scanner: world mm from head mm, and its own smooth warp."""

    to_world: NDArray[np.float64]
    warp: tuple[Field, Field, Field]

    def points(
        self, shape: tuple[int, ...], affine: NDArray[np.float64], displace: Displace | None
    ) -> Points:
        """Return the head coordinates of a grid's voxels, after warp and mass effect."""
        to_head = np.linalg.inv(self.to_world) @ affine
        index = [np.arange(n, dtype=np.float32) for n in shape]
        i, j, k = np.meshgrid(*index, indexing="ij", sparse=True)
        axes = []
        for row, field in zip(to_head[:3].astype(np.float32), self.warp, strict=True):
            axes.append(row[0] * i + row[1] * j + row[2] * k + row[3] + field.on(shape, to_head))
        x, y, z = axes
        if displace is not None:
            x, y, z = displace(x, y, z)
        spacing = np.sqrt((to_head[:3, :3] ** 2).sum(0))
        return Points(x, y, z, float(spacing.mean()), to_head, slack_mm=10.0)

    def world(self, head_mm: Point) -> NDArray[np.float64]:
        """Return the world point (mm) at which a point of the head lies, its warp undone."""
        wanted = np.asarray(head_mm, float)
        straight = wanted
        for _ in range(20):
            at = [np.asarray([value], np.float32) for value in straight]
            straight = wanted - np.array([float(field.at(*at)[0]) for field in self.warp])
        return np.asarray((self.to_world @ [*straight, 1.0])[:3])


def draw_pose(streams: Streams) -> Pose:
    """Draw a size, a pose (a few degrees and mm) and a smooth warp of a few mm."""
    generator = streams("pose")
    size = 0.915 * (1.0 + 0.024 * np.clip(generator.standard_normal(), -1.6, 1.6))
    stretch = size * (1.0 + 0.018 * np.clip(generator.standard_normal(3), -1.6, 1.6))
    angles = np.radians(np.array([6.0, 2.5, 4.5]) * generator.uniform(-1.0, 1.0, 3))
    shift = generator.uniform(-1.0, 1.0, 3) * (3.0, 3.0, 2.0) + (0.0, 0.0, -3.0)
    to_world = np.eye(4)
    to_world[:3, :3] = rotation(angles) @ np.diag(stretch)
    to_world[:3, 3] = shift
    return Pose(to_world, (_warp(generator), _warp(generator), _warp(generator)))


def rotation(radians: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (3, 3) rotation about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(radians), np.sin(radians)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    turned: NDArray[np.float64] = about_z @ about_y @ about_x
    return turned


def _warp(generator: np.random.Generator) -> Field:
    """Draw one component of the warp: broad (2.4 mm) plus local (0.9 mm) displacement."""
    broad = smooth_field(generator, correlation_mm=34.0)
    local = smooth_field(generator, correlation_mm=13.0)
    values = np.clip(2.4 * broad.values + 0.9 * local.values, -8.0, 8.0).astype(np.float32)
    return Field(values, broad.origin_mm, broad.pitch_mm)
