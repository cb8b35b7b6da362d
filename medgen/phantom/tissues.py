"""The tissue classes, and the share of each in every voxel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from medgen.phantom.points import Block, Points
from medgen.phantom.shapes import Array, filled


class Tissue(IntEnum):
    """What a voxel may hold; the number is its place in `TissueMap.fractions`."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    CORTICAL_BONE = 4
    MARROW = 5
    CSF = 6
    GREY = 7
    WHITE = 8
    DEEP_GREY = 9
    AIRWAY = 10
    VITREOUS = 11
    LENS = 12
    WHITE_MATTER_LESION = 13
    MASS = 14
    OEDEMA = 15


BRAIN_CLASSES: Mapping[str, tuple[Tissue, ...]] = {
    "csf": (Tissue.CSF,),
    "grey": (Tissue.GREY, Tissue.DEEP_GREY),
    "white": (Tissue.WHITE, Tissue.WHITE_MATTER_LESION, Tissue.OEDEMA),
}
"""What the labels 1, 2 and 3 of the column `tissue` stand for, in this order."""

HOT_SPOT = 4
"""What the column `regions` calls the hot spots, over the labels of `tissue`."""


@dataclass(frozen=True, eq=False)
class TissueMap:
    """What a grid's voxels hold.

    `fractions` (tissue, X, Y, Z) sum to 1 per voxel; `body` is what the skin encloses; `lesion`
    is where lesions fill half a voxel or more; `hot_share` and `hot_uptake` (SUV) add the hot
    spots, which only PET sees.
    """

    fractions: Array
    body: NDArray[np.bool_]
    lesion: NDArray[np.bool_]
    hot_share: Array
    hot_uptake: Array

    def mix(self, values: NDArray[np.floating]) -> Array:
        """Return the volume whose voxels average one value per tissue by fraction."""
        mixed = np.tensordot(values.astype(np.float32), self.fractions, axes=1)
        return np.asarray(mixed, dtype=np.float32)

    def share(self, *tissues: Tissue) -> Array:
        """Return the summed fraction of some tissues."""
        total: Array = self.fractions[list(tissues)].sum(axis=0)
        return total

    def brain_labels(self) -> NDArray[np.uint8]:
        """Return, per voxel, which of `BRAIN_CLASSES` fills most of it: 1, 2, 3; 0 for the rest."""
        shares = [self.share(*tissues) for tissues in BRAIN_CLASSES.values()]
        everything = np.stack([1.0 - sum(shares), *shares])
        return np.asarray(everything.argmax(axis=0), dtype=np.uint8)

    def region_labels(self) -> NDArray[np.uint8]:
        """Return the brain's labels, and 4 where hot spots fill half a voxel or more.

        On a grid too coarse for that it is the voxel that they fill most.
        """
        limit = min(0.5, float(self.hot_share.max()))
        hot = (self.hot_share >= limit) & (self.hot_share > 0.0)
        return np.where(hot, np.uint8(HOT_SPOT), self.brain_labels())


@dataclass(eq=False)
class Painter:
    """Layers of paint, opaque where a solid fills the voxel; later layers cover earlier ones."""

    points: Points
    layers: list[tuple[Tissue, Block, Array]] = field(default_factory=list)

    def paint(self, tissue: Tissue, distance: Array, block: Block | None = None) -> None:
        """Cover a solid, given by its distances (mm) on a block of the points, with a tissue."""
        self.cover(tissue, filled(distance, self.points.voxel_mm), block)

    def cover(self, tissue: Tissue, share: Array, block: Block | None = None) -> None:
        """Cover a share, 0 to 1, of each voxel of a block with a tissue."""
        if share.size:
            self.layers.append((tissue, block or Block.whole(), share))

    def fractions(self) -> Array:
        """Return what is seen from above: fractions (tissue, X, Y, Z), air where none painted."""
        shape = self.points.x.shape
        seen = np.zeros((len(Tissue), *shape), np.float32)
        left = np.ones(shape, np.float32)
        for tissue, block, share in reversed(self.layers):
            visible = left[block.slices] * share
            seen[tissue][block.slices] += visible
            left[block.slices] -= visible
        seen[Tissue.AIR] += left
        return seen
