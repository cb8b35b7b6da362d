"""A head, from a case's random streams to tissue fractions on any grid.

The surfaces are signed distance functions in head coordinates, warped smoothly and posed in the
world. A voxel's fractions come from its distance to each surface, so thin layers (skin, skull
tables, sulci) give mixtures as they do in a scanner. The same head may be put on several grids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medgen.phantom import hot_spots
from medgen.phantom.brain import paint_brain
from medgen.phantom.cortex import hull
from medgen.phantom.face import outline, paint_soft_face
from medgen.phantom.facial_bones import paint_bones
from medgen.phantom.facial_cavities import paint_airways, paint_orbits
from medgen.phantom.hot_spots import HotSpot
from medgen.phantom.lesions import Lesions
from medgen.phantom.points import Pose, draw_pose
from medgen.phantom.randomness import Streams
from medgen.phantom.shapes import Array, filled
from medgen.phantom.skull import paint_ridges, paint_skull, vault
from medgen.phantom.tissues import Painter, Tissue, TissueMap
from medgen.phantom.traits import Fields, Traits, draw_fields, draw_traits

FINEST_MM = 2.3
"""Voxels that are longer than this are halved along that axis, then averaged."""


@dataclass(frozen=True, eq=False)
class Head:
    """One person's head."""

    pose: Pose
    traits: Traits
    fields: Fields
    lesions: Lesions
    spots: tuple[HotSpot, ...]

    def on(self, shape: Sequence[int], affine: NDArray[np.float64]) -> TissueMap:
        """Return the tissue fractions on a grid given by its shape and index-to-world affine."""
        spacing = np.sqrt((affine[:3, :3] ** 2).sum(0))
        parts = np.clip(np.ceil(spacing / FINEST_MM - 1e-6), 1, 2).astype(int)
        fine = affine @ np.diag([*(1.0 / parts), 1.0])
        fine[:3, 3] = affine[:3, 3] + affine[:3, :3] @ (0.5 / parts - 0.5)
        points = self.pose.points(
            tuple(n * k for n, k in zip(shape, parts, strict=True)), fine, self.lesions.displace
        )
        painter = Painter(points)
        skin = filled(self._paint(painter), points.voxel_mm)
        fractions = painter.fractions()
        lesion = self.lesions.settle(fractions, points)
        share, uptake = hot_spots.settle(self.spots, points)
        fractions = _pooled(fractions, parts)
        others = _pooled(np.stack([skin, lesion, share, uptake]), parts)
        body = others[0] > 0.5
        return TissueMap(fractions, body, others[1] >= 0.5, others[2], others[3])

    def _paint(self, painter: Painter) -> Array:
        """Paint from the skin inwards; return the skin's signed distance."""
        p, traits, fields = painter.points, self.traits, self.fields
        shared = hull(p, traits)
        case = vault(p, shared, traits, fields)
        soft = traits.scalp_mm * (1.0 + 0.14 * fields.scalp.at(p.x, p.y, p.z))
        skin = outline(p, case.outside - soft, traits)
        painter.paint(Tissue.SKIN, skin)
        painter.paint(Tissue.FAT, skin + traits.skin_mm)
        # Under the fat of face and neck lies muscle; on the vault only the thin galea.
        flesh = np.maximum(skin + 7.0 * traits.adiposity, p.z + 48.0)
        gaps = filled(np.abs(fields.planes.at(p.x, p.y, p.z)) - traits.adiposity, 3.0)
        painter.cover(Tissue.MUSCLE, filled(flesh, p.voxel_mm) * (1.0 - 0.6 * gaps))
        painter.paint(Tissue.MUSCLE, case.outside - 1.2)
        paint_soft_face(painter, skin, traits)
        paint_bones(painter, traits, fields)
        paint_airways(painter, traits, fields)
        paint_orbits(painter, skin, traits)
        paint_skull(painter, shared, case, traits, fields)
        paint_brain(painter, shared, traits, fields)
        paint_ridges(painter)
        return skin


def draw_head(streams: Streams, lesions: Lesions) -> Head:
    """Draw the head of a case; its lesions are drawn apart, so a twin can go without them."""
    spots = hot_spots.draw_hot_spots(streams)
    return Head(draw_pose(streams), draw_traits(streams), draw_fields(streams), lesions, spots)


def _pooled(stack: Array, parts: NDArray[np.int_]) -> Array:
    """Average blocks of `parts` voxels of a (C, X, Y, Z) stack."""
    if (parts == 1).all():
        return stack
    c, x, y, z = stack.shape
    a, b, d = (int(part) for part in parts)
    blocks = stack.reshape(c, x // a, a, y // b, b, z // d, d)
    return np.ascontiguousarray(blocks.mean(axis=(2, 4, 6), dtype=np.float32))
