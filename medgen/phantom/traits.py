"""What makes one head differ from the next, other than its pose: sizes, thicknesses, fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medgen.phantom.randomness import Box, Field, Streams, banded_field, smooth_field

CEREBRUM_BOX_MM: Box = ((-84.0, 84.0), (-120.0, 87.0), (-70.0, 92.0))
CEREBELLUM_BOX_MM: Box = ((-64.0, 64.0), (-105.0, -15.0), (-74.0, -4.0))
SKULL_BASE_BOX_MM: Box = ((-80.0, 80.0), (-70.0, 86.0), (-88.0, -14.0))


@dataclass(frozen=True)
class Traits:
    """The traits of one head; lengths in mm, the rest factors around 1 or shares."""

    ventricle: float
    ventricle_asymmetry: float
    cortex_mm: float
    sulcus_mm: float
    subarachnoid_mm: float
    skull_mm: float
    table_mm: float
    diploe: float
    scalp_mm: float
    skin_mm: float
    adiposity: float
    face: float
    nose: float
    jaw: float
    eye_mm: float
    eye_distance_mm: float
    frontal_sinus: float
    maxillary_sinus: float
    sphenoid_sinus: float
    sinus_fluid: float
    pneumatisation: float


@dataclass(frozen=True, eq=False)
class Fields:
    """The random fields of one head, each of unit variance unless it says otherwise."""

    folding: Field
    """Distance-like (mm): zero on the sheets that become sulci."""
    folia: Field
    """Distance-like (mm), finely spaced, for cerebellum and turbinates."""
    cells: Field
    """Distance-like (mm): zero on the walls between air cells."""
    planes: Field
    """Distance-like (mm): zero on the planes of fat between muscles."""
    depth: Field
    thickness: Field
    scalp: Field


def draw_traits(streams: Streams) -> Traits:
    """Draw the traits of a head."""
    generator = streams("traits")

    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    age = generator.uniform()  # widens ventricles and sulci together, as atrophy does
    return Traits(
        ventricle=float(np.exp(0.55 * (age - 0.5) + 0.13 * generator.standard_normal())),
        ventricle_asymmetry=between(0.88, 1.12),
        cortex_mm=between(2.5, 3.1),
        sulcus_mm=between(0.9, 1.5) + 1.1 * age,
        subarachnoid_mm=between(1.2, 2.2) + 1.8 * age,
        skull_mm=between(5.6, 9.4),
        table_mm=between(1.3, 2.3),
        diploe=between(0.6, 1.0),
        scalp_mm=between(4.6, 8.0),
        skin_mm=between(1.4, 2.2),
        adiposity=between(0.6, 1.4),
        face=between(0.95, 1.06),
        nose=between(0.85, 1.15),
        jaw=between(0.92, 1.08),
        eye_mm=between(12.2, 13.6),
        eye_distance_mm=between(31.0, 35.5),
        frontal_sinus=between(0.35, 1.25),
        maxillary_sinus=between(0.7, 1.12),
        sphenoid_sinus=between(0.6, 1.1),
        sinus_fluid=between(0.0, 1.0),
        pneumatisation=between(0.0, 1.0),
    )


def draw_fields(streams: Streams) -> Fields:
    """Draw the random fields of a head."""
    return Fields(
        folding=banded_field(
            streams("folding"), wavelength_mm=23.0, bandwidth=0.26, box_mm=CEREBRUM_BOX_MM
        ),
        folia=banded_field(
            streams("folia"), wavelength_mm=10.0, pitch_mm=2.5, box_mm=CEREBELLUM_BOX_MM
        ),
        cells=banded_field(
            streams("cells"), wavelength_mm=11.0, bandwidth=0.3, box_mm=SKULL_BASE_BOX_MM
        ),
        planes=banded_field(streams("planes"), wavelength_mm=26.0, pitch_mm=5.0),
        depth=smooth_field(streams("depth"), correlation_mm=14.0),
        thickness=smooth_field(streams("thickness"), correlation_mm=18.0),
        scalp=smooth_field(streams("scalp"), correlation_mm=20.0),
    )
