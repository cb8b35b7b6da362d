"""The skull: a vault of three layers, the base, and cells of air inside bone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medgen.phantom.brain import SIDES
from medgen.phantom.cortex import Hull
from medgen.phantom.points import Points
from medgen.phantom.shapes import Array, Point, capsule, chain, ellipsoid, filled, joined, ramp
from medgen.phantom.tissues import Painter, Tissue
from medgen.phantom.traits import Fields, Traits


@dataclass(frozen=True, eq=False)
class Vault:
    """The outside of the braincase (signed distance, mm) and its thickness (mm)."""

    outside: Array
    thickness: Array


def vault(p: Points, hull: Hull, traits: Traits, fields: Fields) -> Vault:
    """Return the braincase: thick above, thin at the temples and the base."""
    x, y, z = np.abs(p.x), p.y, p.z
    above = ramp(z, -34.0, 8.0)
    varied = traits.skull_mm * (1.0 + 0.16 * fields.thickness.at(p.x, y, z))
    temple = np.exp(
        -(((x - 70.0) / 18.0) ** 2 + ((y - 2.0) / 30.0) ** 2 + ((z + 14.0) / 26.0) ** 2)
    )
    inion = np.exp(-((x / 22.0) ** 2 + ((y + 104.0) / 22.0) ** 2 + ((z + 18.0) / 16.0) ** 2))
    thickness = 2.6 + above * (varied - 2.6)
    thickness *= 1.0 - 0.45 * temple
    thickness += 3.0 * inion + 1.5 * ramp(-y, 60.0, 95.0)
    thickness = np.clip(thickness, 1.8, 14.0)
    return Vault(hull.cavity - thickness, thickness)


def paint_skull(painter: Painter, hull: Hull, vault: Vault, traits: Traits, fields: Fields) -> None:
    """Paint the vault with its marrow, the base, then the CSF-filled cavity."""
    p = painter.points
    bone = np.maximum(vault.outside, -72.0 - p.z)
    painter.paint(Tissue.CORTICAL_BONE, bone)
    table = traits.table_mm * (0.75 + 0.25 * vault.thickness / traits.skull_mm)
    marrow = np.maximum(vault.outside + table, table - hull.cavity)
    share = filled(marrow, p.voxel_mm) * np.float32(0.55 + 0.4 * traits.diploe)
    painter.cover(Tissue.MARROW, share)
    _paint_base(painter, traits, fields)
    painter.paint(Tissue.CSF, hull.cavity)
    canal = np.maximum(np.hypot(p.x, p.y + 40.0 - (p.z + 58.0) * 0.1) - 10.0, p.z + 60.0)
    painter.paint(Tissue.CSF, canal)


def _paint_base(painter: Painter, traits: Traits, fields: Fields) -> None:
    """Paint the mastoids with their air cells, and the clivus."""
    clivus: Point = (0, -16, -52)
    block, p = painter.points.near(clivus, (16, 26, 26))
    rod = capsule(p.x, p.y, p.z, (0, 0, -38), (0, -26, -65), (9.0, 5.0))
    painter.paint(Tissue.CORTICAL_BONE, rod, block)
    painter.paint(Tissue.MARROW, rod + 1.6, block)
    for side in SIDES:
        block, p = painter.points.near((side * 44, -28, -50), (34, 40, 40))
        x = p.x * side
        mastoid = joined(
            ellipsoid(x, p.y, p.z, (55, -42, -52), (13, 17, 17)),
            capsule(x, p.y, p.z, (56, -38, -58), (55, -33, -74), (9.0, 4.0)),
            blend_mm=4.0,
        )
        painter.paint(Tissue.CORTICAL_BONE, mastoid, block)
        walls = np.abs(fields.cells.at(p.x, p.y, p.z))
        reach = 2.0 + 6.0 * (1.0 - traits.pneumatisation)
        cells = np.maximum(mastoid + reach, 0.9 - walls)
        painter.paint(Tissue.AIRWAY, cells, block)


def paint_ridges(painter: Painter) -> None:
    """Paint the bone that stands up between the lobes: petrous pyramids and sphenoid wings."""
    voxel = painter.points.voxel_mm
    for side in SIDES:
        block, p = painter.points.near((side * 44, -10, -40), (46, 42, 26))
        x = p.x * side
        petrous = capsule(x, p.y, p.z, (54, -34, -46), (15, -11, -39), (9.5, 4.5))
        painter.paint(Tissue.CORTICAL_BONE, petrous, block)
        painter.cover(Tissue.MARROW, 0.7 * filled(petrous + 4.5, voxel), block)
        wing = chain(x, p.y, p.z, [(10, 16, -24), (32, 24, -23), (54, 26, -14)], (2.6, 2.4, 1.6))
        painter.paint(Tissue.CORTICAL_BONE, wing, block)
        ear = chain(x, p.y, p.z, [(88, -20, -47), (70, -22, -47), (50, -22, -47)], (3.2, 3.0, 3.4))
        middle = ellipsoid(x, p.y, p.z, (47, -23, -46), (4, 5, 6))
        painter.paint(Tissue.AIRWAY, np.minimum(ear, middle), block)
        canal = capsule(x, p.y, p.z, (12, -22, -40), (26, -24, -42), (2.6, 2.0))
        painter.paint(Tissue.CSF, canal, block)
