"""White-matter lesions, masses that push the brain aside, and the mimics that healthy heads have.

A lesion takes the place of brain tissue only, by shares, so its rim is a partial volume. Lesions
are drawn from streams of their own: a twin without them has the same head and the same noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medgen.phantom.points import Block, Points
from medgen.phantom.randomness import Field, Streams, smooth_field
from medgen.phantom.shapes import Array, Point, ellipsoid, filled, ramp
from medgen.phantom.tissues import Tissue

LesionKind = Literal["none", "white-matter", "mass", "mixed"]
LESION_KINDS: tuple[LesionKind, ...] = ("none", "white-matter", "mass", "mixed")

Shares = Sequence[tuple[Tissue, float]]
BRAIN = (Tissue.GREY, Tissue.WHITE, Tissue.DEEP_GREY, Tissue.CSF)

# Along the outer wall of the lateral ventricles, and the caps of their horns (head mm).
WALL: tuple[Point, ...] = ((14, 28, 8), (15, 14, 17), (16, -6, 25), (22, -26, 24), (31, -42, 14))
CAPS: tuple[Point, ...] = ((13, 36, 4), (27, -60, 10), (16, 32, 9))


@dataclass(frozen=True)
class Spot:
    """A soft ellipsoid of altered white matter; `severity` is its share of the voxels it fills."""

    centre_mm: Point
    radii_mm: Point
    edge_mm: float
    severity: float


@dataclass(frozen=True, eq=False)
class Mass:
    """A lump that pushes its surroundings outwards, with its rim of oedema and its core."""

    centre_mm: Point
    radius_mm: float
    push: float
    """How far tissue at its edge has moved, relative to its radius."""
    conspicuity: float
    """Share of mass tissue; the rest is grey matter, so 0 is iso-intense with cortex."""
    oedema_mm: float
    core: float
    shape: Field

    @property
    def reach_mm(self) -> float:
        """Return the radius beyond which nothing differs from the healthy head."""
        return 3.0 * self.radius_mm + 6.0


@dataclass(frozen=True, eq=False)
class Lesions:
    """What a head has: lesions that its mask shows, a mass, and mimics that no mask shows."""

    spots: tuple[Spot, ...] = ()
    mimics: tuple[Spot, ...] = ()
    mass: Mass | None = None

    def displace(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """Return where the tissue now at these head coordinates was before the mass grew."""
        if self.mass is None:
            return x, y, z
        mass, radius = self.mass, np.float32(self.mass.radius_mm)
        dx, dy, dz = (axis - c for axis, c in zip((x, y, z), mass.centre_mm, strict=True))
        r = np.sqrt(dx * dx + dy * dy + dz * dz) + np.float32(1e-3)
        shift = np.minimum(r / radius, 1.0) * (1.0 - ramp(r, mass.radius_mm, mass.reach_mm))
        # Bone does not give way: the push fades out towards the skull.
        level = ((x / 69) ** 2 + ((y + 16) / 84) ** 2 + ((z - 20) / 59) ** 2) ** 0.5
        shift *= mass.push * radius * ramp(1.0 - level, 0.02, 0.25) / r
        return x - shift * dx, y - shift * dy, z - shift * dz

    def settle(self, fractions: Array, points: Points) -> Array:
        """Put the lesions into tissue fractions, in place; return their share of every voxel.

        The share counts white-matter lesions and the mass with its core, not oedema or mimics.
        """
        share = np.zeros(points.x.shape, np.float32)
        for spot in self.mimics:
            _settle_spot(spot, fractions, points)
        for spot in self.spots:
            block, moved = _settle_spot(spot, fractions, points)
            part = share[block.slices]
            np.maximum(part, np.minimum(1.0, part + moved), out=part)
        if self.mass is not None:
            _settle_mass(self.mass, fractions, points, share)
        return share


def draw_lesions(streams: Streams, kind: LesionKind) -> Lesions:
    """Draw a case's lesions: of one kind, of both (`mixed`), or the mimics alone (`none`)."""
    spots = _draw_spots(streams) if kind in ("white-matter", "mixed") else ()
    mass = _draw_mass(streams) if kind in ("mass", "mixed") else None
    return Lesions(spots, _draw_mimics(streams), mass)


def _draw_spots(streams: Streams) -> tuple[Spot, ...]:
    """Draw 10-34 spots, most of them beside the ventricles, radius 1.5-8 mm."""
    generator = streams("white-matter lesions")
    spots = []
    for _ in range(int(generator.integers(10, 35))):
        if generator.uniform() < 0.6:
            x, y, z = np.array(WALL[int(generator.integers(len(WALL)))])
            x, y, z = np.array([x, y, z]) + generator.normal(0.0, 4.0, 3) + (3.0, 0.0, 0.0)
        else:
            x, y, z = generator.uniform((18.0, -66.0, 4.0), (46.0, 44.0, 46.0))
        side = float(generator.choice([-1.0, 1.0]))
        radius = float(np.clip(3.2 * np.exp(0.45 * generator.standard_normal()), 1.5, 8.0))
        spots.append(_spot(generator, (side * float(x), float(y), float(z)), radius, 0.45))
    return tuple(spots)


def _draw_mimics(streams: Streams) -> tuple[Spot, ...]:
    """Draw the caps and bands at the ventricles that healthy people have, bright in FLAIR."""
    generator = streams("mimics")
    spots = []
    for side in (-1.0, 1.0):
        for x, y, z in CAPS:
            centre = (side * x, y, z)
            spots.append(_spot(generator, centre, float(generator.uniform(2.0, 4.5)), 0.3))
    return tuple(spots)


def _spot(generator: np.random.Generator, centre: Point, radius: float, least: float) -> Spot:
    a, b, c = radius * np.exp(generator.normal(0.0, 0.22, 3))
    return Spot(
        centre,
        (float(a), float(b), float(c)),
        edge_mm=float(generator.uniform(1.5, 3.5)),
        severity=float(generator.uniform(least, 1.0)),
    )


def _draw_mass(streams: Streams) -> Mass:
    """Draw a mass of radius 8-16 mm in one hemisphere, some iso-intense, some infiltrating."""
    generator = streams("mass")
    radius = float(generator.uniform(8.0, 16.0))
    side = float(generator.choice([-1.0, 1.0]))
    x, y, z = generator.uniform((22.0, -52.0, 8.0), (40.0, 34.0, 38.0))
    return Mass(
        centre_mm=(side * float(x), float(y), float(z)),
        radius_mm=radius,
        push=float(generator.uniform(0.15, 0.7)),
        conspicuity=float(generator.choice([0.0, 0.5, 1.0])),
        oedema_mm=float(generator.choice([0.0, 4.0, 8.0])),
        core=float(generator.choice([0.0, 0.0, 0.55])),
        shape=smooth_field(generator, correlation_mm=7.0),
    )


def _settle_spot(spot: Spot, fractions: Array, points: Points) -> tuple[Block, Array]:
    """Exchange white matter for lesion tissue; return the block and the share of lesion there."""
    reach = max(spot.radii_mm) + spot.edge_mm
    block, p = points.near(spot.centre_mm, reach)
    ball = filled(ellipsoid(p.x, p.y, p.z, spot.centre_mm, spot.radii_mm), spot.edge_mm)
    here = (slice(None), *block.slices)
    return block, _exchange(
        fractions[here], ball, (Tissue.WHITE,), [(Tissue.WHITE_MATTER_LESION, spot.severity)]
    )


def _settle_mass(mass: Mass, fractions: Array, points: Points, share: Array) -> None:
    radius = mass.radius_mm
    block, p = points.near(mass.centre_mm, mass.reach_mm)
    part = fractions[(slice(None), *block.slices)]
    wobble = 1.0 + 0.14 * np.clip(mass.shape.at(p.x, p.y, p.z), -2.0, 2.0)
    lump = ellipsoid(p.x, p.y, p.z, mass.centre_mm, (radius,) * 3) - radius * (wobble - 1.0)
    if mass.oedema_mm > 0:
        rim = filled(lump - mass.oedema_mm, 4.0)
        _exchange(part, rim, (Tissue.WHITE,), [(Tissue.OEDEMA, 0.75)])
    solid = filled(lump, 2.5)
    made: Shares = [(Tissue.MASS, mass.conspicuity), (Tissue.GREY, 1.0 - mass.conspicuity)]
    moved = _exchange(part, solid, (*BRAIN, Tissue.WHITE_MATTER_LESION, Tissue.OEDEMA), made)
    if mass.core > 0:
        inside = filled(lump + radius * (1.0 - mass.core), 3.0)
        _exchange(part, inside, (Tissue.MASS, Tissue.GREY), [(Tissue.CSF, 0.8)])
    here = share[block.slices]
    np.maximum(here, moved, out=here)


def _exchange(part: Array, share: Array, given: Sequence[Tissue], made: Shares) -> Array:
    """Turn a share of some tissues into others, in place; return what had been taken, 0 to 1.

    Parts of `made` that do not add up to 1 leave the rest of the first given tissue in place.
    """
    total = sum(weight for _, weight in made)
    taken = np.zeros(part.shape[1:], np.float32)
    for tissue in given:
        moved = part[tissue] * share
        part[tissue] -= moved * np.float32(total)
        taken += moved
    for tissue, weight in made:
        part[tissue] += taken * np.float32(weight)
    return taken
