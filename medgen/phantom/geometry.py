"""Where a case's voxels are: the grids of its scanners, and how far its CT is out of place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.phantom.points import rotation
from medgen.phantom.randomness import Streams
from medgen.volumes import Grid

FIELD_OF_VIEW_MM = np.array([192.0, 224.0, 192.0])
CENTRE_MM = np.array([0.0, -4.0, -2.0])
Size = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Misregistration:
    """A rigid motion between MR and CT: world mm of the CT from world mm of the MR."""

    matrix: NDArray[np.float64]
    mean_mm: float
    """Mean displacement over the head."""

    def as_json(self) -> dict[str, Any]:
        """Return the motion as a JSON object."""
        return {"mean_mm": round(self.mean_mm, 4), "mr_to_ct": np.round(self.matrix, 8).tolist()}


@dataclass(frozen=True, eq=False)
class Placement:
    """The grids of MR (with PET and masks) and of CT, and the motion between them."""

    mr: Grid
    ct: Grid
    misregistration: Misregistration

    def ct_seen_from_mr(self) -> NDArray[np.float64]:
        """Return the affine from CT voxels to the world in which the MR saw the head."""
        if self.misregistration.mean_mm == 0.0:
            return self.ct.affine
        return np.asarray(np.linalg.inv(self.misregistration.matrix) @ self.ct.affine)


def draw_placement(streams: Streams, size: Size, oblique: bool, aligned: bool) -> Placement:
    """Draw the grids of a case and its misregistration (none where aligned)."""
    motion = Misregistration(np.eye(4), 0.0) if aligned else _draw_motion(streams)
    if not oblique:
        grid = _grid(size, np.zeros(3), (0, 1, 2), (1, 1, 1))
        return Placement(grid, grid, motion)
    generator = streams("grids")
    mr_grid = _draw_oblique(generator, size, 15.0)
    ct_grid = _draw_oblique(generator, size, 4.0)
    return Placement(mr_grid, ct_grid, motion)


def _draw_motion(streams: Streams) -> Misregistration:
    """Draw a rigid motion that moves the points of a head by 0.5-1 mm on average."""
    generator = streams("misregistration")
    wanted = float(generator.uniform(0.5, 1.0))
    shift = generator.standard_normal(3)
    angles = 0.008 * generator.standard_normal(3)
    steps = np.linspace(-1.0, 1.0, 9)
    ball = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    head = ball[(ball**2).sum(1) <= 1.0] * (75.0, 95.0, 90.0)
    matrix = np.eye(4)
    scale = 1.0
    for _ in range(4):  # displacement is all but linear in the scale, so this converges at once
        matrix[:3, :3], matrix[:3, 3] = rotation(angles * scale), shift * scale
        moved = head @ matrix[:3, :3].T + matrix[:3, 3]
        mean = float(np.linalg.norm(moved - head, axis=1).mean())
        scale *= wanted / mean
    return Misregistration(matrix, mean)


def _draw_oblique(generator: np.random.Generator, size: Size, degrees: float) -> Grid:
    """Draw a tilted grid with unequal spacing, in any order and direction of its axes."""
    angles = np.radians(degrees) * generator.uniform(-1.0, 1.0, 3)
    unequal = generator.permutation(np.array([0.8, 1.0, 1.4]))
    counts = np.maximum(8, np.rint(np.array(size) / unequal).astype(int))
    order = tuple(int(axis) for axis in generator.permutation(3))
    signs = tuple(int(sign) for sign in generator.choice([-1, 1], 3))
    return _grid((int(counts[0]), int(counts[1]), int(counts[2])), angles, order, signs)


def _grid(
    size: Size, angles: NDArray[np.float64], order: tuple[int, ...], signs: tuple[int, ...]
) -> Grid:
    """Return a grid over the field of view; `order` and `signs` say how its axes are stored."""
    spacing = FIELD_OF_VIEW_MM / np.array(size)
    turned = rotation(angles) @ np.diag(spacing)
    columns = [signs[i] * turned[:, axis] for i, axis in enumerate(order)]
    shape = tuple(size[axis] for axis in order)
    affine = np.eye(4)
    affine[:3, :3] = np.stack(columns, axis=1)
    affine[:3, 3] = CENTRE_MM - affine[:3, :3] @ ((np.array(shape) - 1.0) / 2.0)
    return Grid((shape[0], shape[1], shape[2]), affine)
