"""The hollows of the face: nose, sinuses, throat, and the orbits with the eyes."""

from __future__ import annotations

import numpy as np

from medgen.phantom.brain import SIDES
from medgen.phantom.shapes import (
    Array,
    Point,
    capsule,
    chain,
    ellipsoid,
    filled,
    superellipsoid,
)
from medgen.phantom.tissues import Painter, Tissue
from medgen.phantom.traits import Fields, Traits


def paint_airways(painter: Painter, traits: Traits, fields: Fields) -> None:
    """Paint nasal cavity, turbinates, sinuses, air cells between the orbits, and the throat."""
    voxel = painter.points.voxel_mm
    block, p = painter.points.near((0, 50, -52), (50, 46, 46))
    x, y, z = np.abs(p.x), p.y, p.z
    lining = ellipsoid(x, y, z, (0, 52, -64), (14.5, 38, 19))
    painter.paint(Tissue.MUSCLE, lining, block)
    cavity = np.minimum(lining + 1.6, capsule(x, y, z, (5, 84, -78), (5, 96, -76), (3.5, 3.5)))
    conchae = np.minimum(
        ellipsoid(x, y, z, (8, 50, -71), (3.8, 25, 4.5)),
        ellipsoid(x, y, z, (7, 46, -59), (3, 20, 4)),
    )
    septum = np.abs(p.x - 0.03 * (y - 50.0)) - 1.3
    cavity = np.maximum(np.maximum(cavity, -conchae), -septum)
    painter.paint(Tissue.AIRWAY, cavity, block)
    ethmoid = superellipsoid(x, y, z, (0, 48, -38), (13.5, 26, 13), power=3.0)
    painter.paint(Tissue.CORTICAL_BONE, ethmoid, block)
    walls = np.abs(fields.cells.at(p.x, y, z))
    painter.cover(Tissue.MUSCLE, 0.8 * filled(ethmoid + 1.0, voxel), block)
    painter.paint(Tissue.AIRWAY, np.maximum(ethmoid + 1.2, 0.7 - walls), block)
    frontal = ellipsoid(x, y, z, (11, 67, -20), (13, 4.5, 12))
    frontal = np.maximum(frontal + 5.5 * (1.0 - traits.frontal_sinus), 0.8 - np.abs(p.x + 1.5))
    painter.paint(Tissue.AIRWAY, frontal, block)
    size = traits.maxillary_sinus
    for side in SIDES:
        centre = (side * 28.0 * traits.face, 46.0, -64.0)
        sinus = superellipsoid(p.x, y, z, centre, (13 * size, 19 * size, 18 * size), power=2.3)
        painter.paint(Tissue.MUSCLE, sinus, block)
        level = -82.0 + (9.0 * traits.sinus_fluid if side > 0 else 0.0)
        painter.paint(Tissue.AIRWAY, np.maximum(sinus + 1.0, level - z), block)
    block, p = painter.points.near((0, 12, -60), (30, 32, 70))
    size = traits.sphenoid_sinus
    sphenoid = superellipsoid(p.x, p.y, p.z, (0, 12, -42), (21, 22, 17), power=2.8)
    painter.paint(Tissue.CORTICAL_BONE, sphenoid, block)
    painter.cover(Tissue.MARROW, 0.8 * filled(sphenoid + 2.0, voxel), block)
    air = superellipsoid(p.x, p.y, p.z, (1, 14, -41), (17 * size, 18 * size, 13.5 * size))
    painter.paint(Tissue.AIRWAY, np.maximum(air, 0.7 - np.abs(p.x - 2.0)), block)
    throat = chain(p.x * 0.7, p.y, p.z, [(0, 16, -68), (0, 6, -82), (0, 0, -140)], (9.0, 7.0, 6.0))
    painter.paint(Tissue.AIRWAY, throat, block)


def paint_orbits(painter: Painter, skin: Array, traits: Traits) -> None:
    """Paint the orbits: bony cone, fat, muscles, nerve and globe with its lens."""
    voxel = painter.points.voxel_mm
    apex: Point = (15, 20, -33)
    for side in SIDES:
        eye: Point = (traits.eye_distance_mm, 61, -41)
        block, p = painter.points.near((side * 28, 48, -38), (32, 40, 32))
        x, y, z = p.x * side, p.y, p.z
        cone = capsule(x, y, z, apex, (eye[0] + 1, 62, -41), (4.0, 19.0))
        bone = np.maximum(cone - 2.0, y - 66.0 + 0.35 * np.maximum(x - 30.0, 0.0))
        painter.paint(Tissue.CORTICAL_BONE, np.maximum(bone, skin[block.slices] + 6.0), block)
        painter.paint(Tissue.FAT, np.maximum(cone, skin[block.slices] + 2.0), block)
        for dx, dz in ((0.0, 11.0), (0.0, -11.0), (11.0, 0.0), (-11.0, 0.0)):
            end = (eye[0] + dx, eye[1] - 3.0, eye[2] + dz)
            middle = (0.45 * apex[0] + 0.55 * end[0], 42.0, 0.45 * apex[2] + 0.55 * end[2])
            rectus = chain(x, y, z, [apex, middle, end], (1.4, 2.4, 1.2))
            painter.paint(Tissue.MUSCLE, rectus, block)
        nerve = chain(
            x, y, z, [apex, (24, 38, -37), (eye[0], eye[1] - 11, eye[2])], (2.8, 2.8, 2.8)
        )
        painter.paint(Tissue.CSF, nerve, block)
        painter.paint(Tissue.WHITE, nerve + 1.1, block)
        globe = ellipsoid(x, y, z, eye, (traits.eye_mm,) * 3)
        painter.paint(Tissue.MUSCLE, globe, block)
        painter.paint(Tissue.VITREOUS, globe + 1.2, block)
        lens = ellipsoid(x, y, z, (eye[0], eye[1] + 7.5, eye[2]), (4.6, 2.3, 4.6))
        painter.cover(Tissue.LENS, filled(lens, voxel), block)
