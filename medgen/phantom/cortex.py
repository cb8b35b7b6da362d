"""The cerebrum's outline and its folds; the cavity that brain and skull share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medgen.phantom.points import Points
from medgen.phantom.shapes import Array, capsule, cut, ellipsoid, joined, ramp, superellipsoid
from medgen.phantom.traits import Fields, Traits


@dataclass(frozen=True, eq=False)
class Hull:
    """Smooth outlines (signed distances, mm) that brain and skull share."""

    cerebrum: Array
    cavity: Array


def hull(p: Points, traits: Traits) -> Hull:
    """Return the unfolded cerebrum and the inside of the skull at points."""
    x = np.abs(p.x)
    main = superellipsoid(x, p.y, p.z, (0, -16, 20), (68.5, 84, 59), power=2.25)
    temporal = ellipsoid(x, p.y, p.z, (45, -12, -18), (23.5, 41, 27))
    cerebrum = joined(main, temporal, blend_mm=6.0)
    sphenoid = ellipsoid(x, p.y, p.z, (0, 12, -42), (25, 30, 22))
    cerebrum = cut(cerebrum, sphenoid, blend_mm=6.0)
    fossa = ellipsoid(x, p.y, p.z, (0, -60, -36), (57, 43, 30))
    fossa = joined(fossa, ellipsoid(x, p.y, p.z, (0, -30, -36), (24, 22, 30)), blend_mm=10.0)
    foramen = capsule(x, p.y, p.z, (0, -38, -58), (0, -46, -76), (15.0, 11.0))
    fossa = joined(fossa, foramen, blend_mm=8.0)
    cavity = joined(cerebrum - traits.subarachnoid_mm, fossa, blend_mm=8.0)
    return Hull(cerebrum, cavity)


def above_tentorium(cerebrum: Array, p: Points) -> Array:
    """Keep the cerebrum above the tent over the cerebellum."""
    tent = tentorium_mm(p)
    behind = ramp(p.y, -20.0, -34.0)
    below = (tent - p.z) * 0.94
    kept: Array = np.maximum(cerebrum, np.where(behind > 0, below - 30.0 * (1 - behind), -60.0))
    return kept


def tentorium_mm(p: Points) -> Array:
    """Return the height (mm) of the tentorium: high at the midline in front, low at the sides."""
    height: Array = -3.0 - 0.30 * np.abs(p.x) + 0.16 * (p.y + 45.0)
    return height


def sulci(outline: Array, p: Points, traits: Traits, fields: Fields) -> Array:
    """Return the distance to the sulci: folds of the maze field, fissures, and the insula."""
    x, y, z = p.x, p.y, p.z
    # Look the maze up at the point's projection on the surface, so that sulci stand upright.
    cy = np.clip(y, -62.0, 32.0)
    dy, dz = y - cy, z - 8.0
    radius = np.sqrt(x * x + dy * dy + dz * dz) + np.float32(1.0)
    push = -0.75 * np.minimum(outline, 0.0) / radius
    sheet = fields.folding.at(x + push * x, y + push * dy, z + push * dz)
    # Closer to the centre the projected sheets crowd, so their distances shrink.
    sheet = np.abs(sheet) / (1.0 + push)
    variable = fields.depth.at(x, y, z)
    inside = np.minimum(-outline, 1.6 * np.abs(x) + 1.0)
    reach = 15.5 + 4.5 * variable
    beyond = np.maximum(inside - reach, 0.0)
    folds = np.hypot(sheet, beyond) - 0.5 * traits.sulcus_mm
    core = ellipsoid(x * 0.2, y, z, (0, -6, 4), (30.0, 40.0, 27.0))
    fissure = np.hypot(x, np.maximum(-core, 0.0)) - (0.5 + 0.35 * traits.sulcus_mm)
    lateral = np.abs(x)
    slope = -6.0 - 0.33 * (y - 12.0)
    sylvian = np.abs(z - slope) * 0.95
    span = np.maximum(np.maximum(36.0 - lateral, y - 26.0), -40.0 - y)
    sylvian = np.hypot(sylvian, np.maximum(span, 0.0)) - (0.6 + 0.5 * traits.sulcus_mm)
    insula = np.abs(lateral - 37.5 - 0.002 * (y + 4.0) ** 2)
    span = np.maximum(np.abs(z - slope - 3.0) - 12.0, np.abs(y + 4.0) - 24.0)
    insula = np.hypot(insula, np.maximum(span, 0.0)) - (0.3 + 0.3 * traits.sulcus_mm)
    nearest: Array = np.minimum(np.minimum(folds, fissure), np.minimum(sylvian, insula))
    return nearest
