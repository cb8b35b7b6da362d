"""The face and neck: their outline, muscles, fat pads and ears."""

from __future__ import annotations

import numpy as np

from medgen.phantom.brain import SIDES
from medgen.phantom.points import Points
from medgen.phantom.shapes import (
    Array,
    Point,
    capsule,
    ellipsoid,
    filled,
    joined,
    superellipsoid,
)
from medgen.phantom.tissues import Painter, Tissue
from medgen.phantom.traits import Traits


def outline(p: Points, scalp: Array, traits: Traits) -> Array:
    """Return the skin's surface: scalp, face, brow, nose, lips, neck and ears."""
    x, y, z = np.abs(p.x), p.y, p.z
    wide = 67.0 * traits.face
    face = superellipsoid(x, y, z, (0, 22, -72), (wide, 66, 64), power=2.3)
    brow = ellipsoid(x, y, z, (0, 52, -24), (46, 27, 16))
    cheek = ellipsoid(x, y, z, (40 * traits.face, 56, -62), (24, 27, 22))
    jaw = ellipsoid(x, y, z, (0, 42, -112), (46 * traits.jaw, 44, 34))
    neck = capsule(x * 0.95, y, z, (0, -34, -80), (0, -40, -170), (54.0, 56.0))
    head = joined(
        joined(scalp, face, blend_mm=14.0), joined(brow, cheek, blend_mm=8.0), blend_mm=16.0
    )
    head = joined(joined(head, jaw, blend_mm=10.0), neck, blend_mm=14.0)
    socket = ellipsoid(x, y, z, (34, 87, -40), (15, 9, 10))
    head = np.asarray(-joined(-head, socket, blend_mm=8.0))
    eyelid = ellipsoid(x, y, z, (traits.eye_distance_mm, 62, -41), (17, 16, 15))
    lips = ellipsoid(x, y, z, (0, 84, -97), (24, 11, 9))
    head = joined(joined(head, eyelid, blend_mm=6.0), lips, blend_mm=6.0)
    head = joined(head, _nose(p, traits), blend_mm=7.0)
    return joined(head, _ears(p), blend_mm=4.0)


def _nose(p: Points, traits: Traits) -> Array:
    x, y, z = np.abs(p.x), p.y, p.z
    out = 13.0 * traits.nose
    tip: Point = (0, 89 + out, -69)
    ridge = capsule(x, y, z, (0, 79, -35), tip, (7.5, 10.0))
    wings = ellipsoid(x, y, z, (10, 88 + 0.4 * out, -74), (8, 11, 7))
    return joined(ridge, wings, blend_mm=6.0)


def _ears(p: Points) -> Array:
    """Return two tilted saucers with a hollow."""
    x, y, z = np.abs(p.x), p.y, p.z
    lean = (x - 72.0) * 0.85 + (y + 24.0) * 0.5
    along = (y + 28.0) * 0.85 - (x - 72.0) * 0.5
    saucer = ellipsoid(lean, along, z, (0, 0, -42), (6.0, 18.0, 31.0))
    hollow = ellipsoid(lean, along, z, (6.0, 2.0, -40), (4.0, 10.0, 18.0))
    return np.maximum(saucer, -hollow)


def paint_soft_face(painter: Painter, skin: Array, traits: Traits) -> None:
    """Paint muscles and glands outside the skull; bones come later and cover them."""
    under = skin + 3.2 * traits.adiposity + traits.skin_mm
    solids: list[tuple[Point, Point]] = [
        ((61, 12, -26), (15, 37, 37)),  # temporalis
        ((58 * traits.face, 16, -84), (8, 18, 32)),  # masseter
        ((38, 8, -68), (15, 22, 30)),  # pterygoids
        ((24, -74, -92), (23, 20, 40)),  # suboccipital and neck extensors
        ((20, -88, -100), (19, 7, 50)),  # trapezius
        ((10, -14, -94), (9, 8, 40)),  # longus colli
        ((24, 62, -98), (14, 16, 5)),  # around the mouth
    ]
    for side in SIDES:
        for (cx, cy, cz), radii in solids:
            centre = (side * cx, cy, cz)
            block, p = painter.points.near(centre, radii)
            solid = ellipsoid(p.x, p.y, p.z, centre, radii)
            painter.paint(Tissue.MUSCLE, np.maximum(solid, under[block.slices]), block)
        block, p = painter.points.near((side * 50, -24, -88), (24, 26, 40))
        x = p.x * side
        strap = capsule(x, p.y, p.z, (58, -40, -66), (44, -8, -124), (8.0, 9.0))
        painter.paint(Tissue.MUSCLE, np.maximum(strap, under[block.slices]), block)
        vessels = capsule(x, p.y, p.z, (28, -14, -64), (30, -12, -124), (5.0, 6.0))
        painter.paint(Tissue.MUSCLE, vessels, block)
        parotid = filled(ellipsoid(x, p.y, p.z, (60, -10, -76), (9, 13, 22)), 3.0)
        painter.cover(Tissue.MUSCLE, 0.6 * parotid, block)
    _paint_fat_pads(painter, under, traits)
    block, p = painter.points.near((0, 36, -108), (30, 44, 30))
    tongue = ellipsoid(p.x, p.y, p.z, (0, 36, -108), (25, 40, 21))
    painter.paint(Tissue.MUSCLE, tongue, block)
    block, p = painter.points.near((0, 8, -90), (20, 22, 50))
    wall = capsule(p.x * 0.7, p.y, p.z, (0, 6, -66), (0, 0, -140), (13.0, 12.0))
    painter.paint(Tissue.MUSCLE, wall, block)


def _paint_fat_pads(painter: Painter, under: Array, traits: Traits) -> None:
    """Paint the fat of cheeks, temples, pharynx and nape, and the cartilage of the ears."""
    pads: list[tuple[Point, Point]] = [
        ((44, 40, -76), (8, 15, 17)),
        ((50, 34, -46), (8, 12, 12)),
        ((25, 6, -74), (5, 9, 15)),
        ((30, -88, -104), (40, 10, 26)),
    ]
    for side in SIDES:
        for (cx, cy, cz), radii in pads:
            centre = (side * cx, cy, cz)
            block, p = painter.points.near(centre, radii)
            solid = ellipsoid(p.x, p.y, p.z, centre, radii) + 3.0 * (1.0 - traits.adiposity)
            share = 0.85 * filled(np.maximum(solid, under[block.slices] + 1.0), 3.0)
            painter.cover(Tissue.FAT, share, block)
        block, p = painter.points.near((side * 76, -26, -42), (16, 24, 34))
        cartilage = np.maximum(_ears(p) + 1.2, under[block.slices] - 6.0)
        painter.cover(Tissue.MUSCLE, 0.8 * filled(cartilage, painter.points.voxel_mm), block)
