"""The bones of face and neck, with their teeth."""

from __future__ import annotations

import numpy as np

from medgen.phantom.brain import SIDES
from medgen.phantom.shapes import (
    capsule,
    chain,
    ellipsoid,
    filled,
    superellipsoid,
)
from medgen.phantom.tissues import Painter, Tissue
from medgen.phantom.traits import Fields, Traits


def paint_bones(painter: Painter, traits: Traits, fields: Fields) -> None:
    """Paint brow, maxilla, zygoma, nasal bone, palate, teeth, mandible and upper spine."""
    for side in SIDES:
        block, p = painter.points.near((side * 50, 30, -60), (34, 60, 60))
        x = p.x * side
        f = traits.face
        zygoma = ellipsoid(x, p.y, p.z, (45 * f, 57, -57), (13, 9, 11))
        arch = chain(
            x, p.y, p.z, [(52 * f, 52, -56), (66 * f, 26, -53), (70, -4, -50)], (4.0, 2.6, 3.2)
        )
        rim = chain(x, p.y, p.z, [(52 * f, 54, -54), (50, 60, -38), (44, 66, -26)], (4.0, 3.5, 4.0))
        ramus = ellipsoid(x, p.y, p.z, (49 * f, 4, -86), (4.2, 14, 38))
        condyle = ellipsoid(x, p.y, p.z, (51, -6, -56), (8, 4.5, 6))
        body = chain(x, p.y, p.z, [(47, 10, -116), (40, 44, -122), (0, 78, -128)], (8.0, 8.0, 9.0))
        pterygoid = ellipsoid(x, p.y, p.z, (14, 22, -66), (2.2, 9, 18))
        bones = [zygoma, arch, rim, ramus, condyle, body, pterygoid]
        painter.paint(Tissue.CORTICAL_BONE, np.minimum.reduce(bones), block)
        spongy = np.minimum.reduce([zygoma, body, condyle, ramus + 0.6])
        painter.cover(Tissue.MARROW, 0.85 * filled(spongy + 2.2, painter.points.voxel_mm), block)
    block, p = painter.points.near((0, 58, -58), (52, 40, 54))
    x = np.abs(p.x)
    brow = ellipsoid(x, p.y, p.z, (0, 52, -22), (42, 21, 12))
    maxilla = superellipsoid(x, p.y, p.z, (0, 46, -70), (40 * traits.face, 32, 25))
    nasal = capsule(x * 1.0, p.y, p.z, (0, 78, -34), (0, 86 + 5 * traits.nose, -53), (6.0, 4.5))
    bones = np.minimum.reduce([brow, maxilla, nasal])
    painter.paint(Tissue.CORTICAL_BONE, bones, block)
    painter.cover(Tissue.MARROW, 0.8 * filled(brow + 3.2, painter.points.voxel_mm), block)
    painter.cover(Tissue.MARROW, 0.7 * filled(maxilla + 2.4, painter.points.voxel_mm), block)
    _paint_teeth(painter)
    _paint_spine(painter)


def _paint_teeth(painter: Painter) -> None:
    """Paint the palate and two rows of teeth with gaps between them."""
    block, p = painter.points.near((0, 50, -98), (40, 44, 24))
    palate = ellipsoid(p.x, p.y, p.z, (0, 50, -85), (21, 28, 2.0))
    painter.paint(Tissue.CORTICAL_BONE, palate, block)
    mouth = ellipsoid(p.x, p.y, p.z, (0, 46, -94), (22, 30, 6))
    painter.paint(Tissue.MUSCLE, mouth, block)
    a, b = p.x / 25.0, (p.y - 40.0) / 38.0
    ring = (np.hypot(a, b) - 1.0) * 29.0
    behind = 36.0 - p.y
    gum = np.hypot(ring, np.maximum(np.abs(p.z + 93.0) - 8.0, 0.0)) - 5.0
    painter.paint(Tissue.CORTICAL_BONE, np.maximum(np.maximum(gum, behind), p.z + 84.0), block)
    angle = np.arctan2(p.x / 25.0, np.maximum(p.y - 32.0, 1.0) / 38.0)
    gap = 2.6 - np.abs(np.sin(angle * 6.0)) * 4.2
    for low, high in ((-101.0, -91.0), (-113.0, -102.5)):
        tooth = np.maximum(np.abs(ring) - 3.6, np.maximum(low - p.z, p.z - high))
        painter.paint(Tissue.CORTICAL_BONE, np.maximum(np.maximum(tooth, behind), gap), block)


def _paint_spine(painter: Painter) -> None:
    """Paint the atlas, the dens and the vertebra below."""
    block, p = painter.points.near((0, -38, -96), (46, 40, 40))
    x = np.abs(p.x)
    ring = np.hypot(np.hypot(x * 0.95, p.y + 43.0) - 20.0, (p.z + 80.0) * 0.75) - 5.0
    mass = ellipsoid(x, p.y, p.z, (21, -34, -78), (8, 10, 8))
    wing = capsule(x, p.y, p.z, (22, -36, -80), (40, -38, -80), (5.0, 4.5))
    dens = capsule(x, p.y, p.z, (0, -27, -76), (0, -31, -96), (5.5, 6.5))
    block_body = ellipsoid(x, p.y, p.z, (0, -29, -106), (15, 10, 15))
    arch = np.hypot(np.hypot(x * 0.95, p.y + 45.0) - 19.0, (p.z + 106.0) * 0.6) - 5.0
    spine = capsule(x, p.y, p.z, (0, -64, -104), (0, -80, -110), (4.5, 4.5))
    bones = np.minimum.reduce([ring, mass, wing, dens, block_body, arch, spine])
    painter.paint(Tissue.CORTICAL_BONE, bones, block)
    painter.cover(Tissue.MARROW, 0.85 * filled(bones + 1.8, painter.points.voxel_mm), block)
