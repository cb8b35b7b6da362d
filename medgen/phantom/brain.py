"""The brain: folded cortex, ventricles, deep nuclei, cerebellum and stem."""

from __future__ import annotations

import numpy as np

from medgen.phantom.cortex import Hull, above_tentorium, sulci, tentorium_mm
from medgen.phantom.points import Points
from medgen.phantom.shapes import (
    Array,
    Point,
    capsule,
    chain,
    ellipsoid,
    filled,
    joined,
)
from medgen.phantom.tissues import Painter, Tissue
from medgen.phantom.traits import Fields, Traits

SIDES = (-1.0, 1.0)


def paint_brain(painter: Painter, hull: Hull, traits: Traits, fields: Fields) -> None:
    """Paint everything inside the cavity, which is already painted as CSF."""
    block, p = painter.points.near((0, -16, 10), (82, 98, 74))
    outline = above_tentorium(hull.cerebrum[block.slices], p)
    folds = sulci(outline, p, traits, fields)
    cerebrum = np.maximum(outline, -folds)
    cerebrum = np.maximum(cerebrum, -_cisterns(p))
    painter.paint(Tissue.GREY, cerebrum, block)
    inner = cerebrum + traits.cortex_mm * (1.0 + 0.08 * fields.depth.at(p.x, p.y, p.z))
    painter.paint(Tissue.WHITE, np.minimum(inner, _callosum(p)), block)
    _paint_brainstem(painter)
    _paint_cerebellum(painter, hull, fields)
    _paint_nuclei(painter)
    _paint_ventricles(painter, traits)
    _paint_dura(painter, hull)


def _cisterns(p: Points) -> Array:
    """Return the distance to the CSF spaces under the brain."""
    x, y, z = np.abs(p.x), p.y, p.z
    suprasellar = ellipsoid(x, y, z, (0, -2, -24), (17, 13, 12))
    ambient = ellipsoid(x, y, z, (16, -34, -12), (6, 13, 9))
    quadrigeminal = ellipsoid(x, y, z, (0, -42, -4), (12, 7, 8))
    below = np.maximum(np.hypot(x, y + 22.0) - 30.0, z + 16.0)
    nearest: Array = np.minimum.reduce([suprasellar, ambient, quadrigeminal, below])
    return nearest


def _callosum(p: Points) -> Array:
    """Return the distance to the corpus callosum: an arch, thicker at both ends."""
    y, z = p.y, p.z
    arch = ellipsoid(p.x * 0.05, y, z, (0, -6, 1), (30.0, 34.5, 24.5))
    slab = np.abs(arch + 2.5) - 2.6
    lower = np.maximum(np.maximum(-(z + 2.0) + 0.25 * np.abs(y + 6), np.abs(p.x) - 22.0), slab)
    return np.asarray(lower)


def _paint_brainstem(painter: Painter) -> None:
    block, p = painter.points.near((0, -34, -50), (26, 30, 66))
    pons = ellipsoid(p.x, p.y, p.z, (0, -24, -33), (17, 13, 15))
    midbrain = capsule(p.x, p.y, p.z, (0, -24, -8), (0, -27, -28), (14.5, 12.0))
    medulla = capsule(p.x, p.y, p.z, (0, -29, -42), (0, -41, -68), (10.0, 7.0))
    cord = capsule(p.x, p.y, p.z, (0, -41, -68), (0, -47, -140), (6.5, 6.0))
    stem = joined(joined(pons, midbrain, blend_mm=5.0), medulla, blend_mm=5.0)
    painter.paint(Tissue.WHITE, np.minimum(stem, cord), block)
    tectum = ellipsoid(p.x, p.y, p.z, (0, -33, -9), (9, 5, 8))
    painter.paint(Tissue.DEEP_GREY, tectum, block)
    core = capsule(p.x, p.y, p.z, (0, -44, -76), (0, -47, -140), (2.6, 2.6))
    painter.paint(Tissue.GREY, core, block)


def _paint_cerebellum(painter: Painter, hull: Hull, fields: Fields) -> None:
    """Paint the hemispheres and vermis: a leafy rind around a branching white core."""
    block, p = painter.points.near((0, -62, -40), (62, 44, 40))
    x, y, z = np.abs(p.x), p.y, p.z
    lobes = ellipsoid(x, y, z, (24, -62, -37), (31, 34, 26))
    vermis = ellipsoid(x, y, z, (0, -62, -30), (10, 27, 24))
    body = joined(lobes, vermis, blend_mm=4.0)
    body = np.maximum(body, z - tentorium_mm(p) + 1.4)
    body = np.maximum(body, hull.cavity[block.slices] + 2.0)
    leaves = np.abs(fields.folia.at(p.x * 0.3, y, z))
    body = np.maximum(body, -np.hypot(leaves, np.maximum(-body - 7.0, 0.0)) + 0.5)
    painter.paint(Tissue.GREY, body, block)
    core = ellipsoid(x, y, z, (20, -56, -40), (19, 19, 9))
    stalk = ellipsoid(x, y, z, (12, -42, -36), (9, 12, 7))
    branches = np.maximum(body + 4.0, 1.1 - leaves)
    white = np.minimum(np.minimum(core, stalk), branches)
    painter.paint(Tissue.WHITE, np.maximum(white, body + 2.0), block)
    dentate = ellipsoid(x, y, z, (15, -55, -37), (5, 7, 3))
    painter.paint(Tissue.DEEP_GREY, np.abs(dentate) - 0.9, block)


def _paint_nuclei(painter: Painter) -> None:
    """Paint caudate, putamen, pallidum, thalamus, hippocampus and amygdala on both sides."""
    solids: list[tuple[Tissue, Point, Point]] = [
        (Tissue.DEEP_GREY, (27.0, 3.0, 2.0), (5.5, 17.0, 10.5)),
        (Tissue.DEEP_GREY, (19.5, -3.0, -1.0), (4.0, 9.5, 6.0)),
        (Tissue.DEEP_GREY, (11.5, -19.0, 7.0), (8.5, 14.5, 9.0)),
        (Tissue.DEEP_GREY, (23.0, -4.0, -19.0), (7.5, 7.0, 6.5)),
        (Tissue.GREY, (27.0, -20.0, -16.0), (6.0, 14.0, 4.5)),
        (Tissue.DEEP_GREY, (4.5, -20.0, -9.0), (2.6, 3.2, 3.2)),
    ]
    caudate: list[Point] = [(13, 18, 1), (15, 10, 12), (18, -10, 21), (25, -32, 18)]
    for side in SIDES:
        for tissue, (cx, cy, cz), radii in solids:
            centre = (side * cx, cy, cz)
            block, p = painter.points.near(centre, radii)
            painter.paint(tissue, ellipsoid(p.x, p.y, p.z, centre, radii), block)
        block, p = painter.points.near((side * 18, -6, 10), (12, 32, 16))
        arc = chain(p.x * side, p.y, p.z, caudate, (6.5, 5.0, 3.2, 2.0))
        painter.paint(Tissue.DEEP_GREY, arc, block)


def _paint_ventricles(painter: Painter, traits: Traits) -> None:
    size = 1.2 * traits.ventricle
    body: list[Point] = [(9, 30, 3), (8, 18, 11), (9, -4, 20), (15, -24, 19), (24, -41, 11)]
    horn: list[Point] = [(24, -41, 11), (34, -32, -8), (33, -16, -18)]
    occipital: list[Point] = [(24, -41, 11), (24, -66, 6)]
    for side in SIDES:
        scale = size * (traits.ventricle_asymmetry if side > 0 else 1.0)
        block, p = painter.points.near((side * 20, -16, 2), (24, 62, 34))
        x = p.x * side
        # Larger ventricles grow outwards: their roof and floor keep away from the midline.
        x = x - 2.2 * (scale - 1.0)
        distance = chain(x, p.y, p.z, body, [r * scale for r in (3.6, 5.2, 5.0, 5.4, 7.0)])
        arms = chain(x, p.y, p.z, horn, [r * scale for r in (6.6, 3.4, 2.4)])
        back = chain(x, p.y, p.z, occipital, [r * scale for r in (6.4, 1.6)])
        distance = joined(np.minimum(distance, back), arms, blend_mm=3.0)
        distance = np.maximum(distance, 0.6 - p.x * side)
        painter.paint(Tissue.CSF, distance, block)
        plexus = chain(
            p.x * side, p.y, p.z, [(16, -27, 18), (25, -41, 8), (33, -32, -8)], (1.2, 2.4, 1.0)
        )
        painter.cover(Tissue.DEEP_GREY, 0.6 * filled(plexus, painter.points.voxel_mm), block)
    block, p = painter.points.near((0, -26, -16), (16, 34, 44))
    third = ellipsoid(p.x, p.y, p.z, (0, -13, 0), (1.2 + 1.3 * size, 14, 11))
    massa = ellipsoid(p.x, p.y, p.z, (0, -15, 5), (5, 3.5, 3.5))
    aqueduct = capsule(p.x, p.y, p.z, (0, -26, -4), (0, -38, -26), (1.2, 1.2))
    fourth = ellipsoid(p.x, p.y, p.z, (0, -42, -34), (6.5 * size**0.5, 5.5, 10))
    third = np.maximum(third, -massa)
    painter.paint(Tissue.CSF, np.minimum(np.minimum(third, aqueduct), fourth), block)


def _paint_dura(painter: Painter, hull: Hull) -> None:
    """Paint dura on the inner table, the falx and the sagittal sinus, all as soft tissue."""
    points = painter.points
    shell = np.abs(hull.cavity + 0.3) - 0.35
    painter.cover(Tissue.MUSCLE, filled(shell, points.voxel_mm))
    block, p = points.near((0, -20, 30), (6, 100, 60))
    arch = ellipsoid(p.x * 0.1, p.y, p.z, (0, -10, 8), (40.0, 52.0, 36.0))
    cavity = hull.cavity[block.slices]
    falx = np.maximum(np.maximum(np.abs(p.x) - 0.35, -arch), cavity)
    painter.paint(Tissue.MUSCLE, np.maximum(falx, -p.z), block)
    sinus = np.maximum(np.hypot(p.x, cavity + 2.5) - 3.0, -5.0 - p.z)
    painter.paint(Tissue.MUSCLE, np.maximum(sinus, p.y - 45.0), block)
