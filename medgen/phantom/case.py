"""One case in memory: a head, scanned by MR, CT and PET, and the truth about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.phantom import ct, mr, pet
from medgen.phantom.anatomy import Head, draw_head
from medgen.phantom.geometry import Placement, draw_placement
from medgen.phantom.lesions import LesionKind, Lesions, draw_lesions
from medgen.phantom.randomness import Streams
from medgen.phantom.scanners import CONTRASTS, SCANNERS
from medgen.phantom.tissues import TissueMap
from medgen.volumes import Grid, Volume


@dataclass(frozen=True)
class CaseSettings:
    """What to make of a person, apart from who it is."""

    size: tuple[int, int, int] = (96, 112, 96)
    """Voxels of the fixed field of view of 192 x 224 x 192 mm."""
    dose_fraction: float = 0.1
    lesions: LesionKind = "none"
    healthy_twin: bool = False
    """Leave the lesions out, and all else as it is."""
    scanner: str = "one"
    oblique: bool = False
    aligned: bool = False
    """Leave out the rigid misregistration between MR and CT."""


@dataclass(frozen=True, eq=False)
class Case:
    """A simulated case: a volume per column, and what is known about it."""

    volumes: Mapping[str, Volume]
    truth: Mapping[str, Any]


def simulate(
    seed: int,
    index: int,
    settings: CaseSettings,
    *,
    mr_only: bool = False,
    lesions: Lesions | None = None,
) -> Case:
    """Return person `index` of the cohort `seed`; the same numbers whatever else is made.

    Columns: t1, t2, pd, flair (arbitrary), ct (HU), pet_low, pet_full (SUV), body (0 or 1), tissue
    (1 CSF, 2 grey, 3 white matter), regions (the same, and 4 hot spots of FDG uptake), and lesion
    (0 or 1) where lesions were asked for. All share one grid, except that oblique cases have their
    CT on a grid of its own. With `mr_only` CT and PET are left out, which are half of the work.
    `lesions`, where given, take the place of those that the person would have had.
    """
    streams = Streams(seed, index)
    placement = draw_placement(streams, settings.size, settings.oblique, settings.aligned)
    drawn = draw_lesions(streams, settings.lesions) if lesions is None else lesions
    head = draw_head(streams, Lesions(mimics=drawn.mimics) if settings.healthy_twin else drawn)
    tissues = head.on(placement.mr.shape, placement.mr.affine)
    volumes: dict[str, Volume] = {}
    truth = _truth(seed, index, settings, placement, head)
    truth["mr"] = _scan_mr(volumes, tissues, placement.mr, streams, settings)
    if not mr_only:
        truth["ct"] = _scan_ct(volumes, tissues, head, placement, streams)
        truth["pet"] |= _scan_pet(volumes, tissues, placement.mr, streams, settings)
    volumes["body"] = _mask(tissues.body, placement.mr)
    volumes["tissue"] = Volume(tissues.brain_labels(), placement.mr, unit="label")
    volumes["regions"] = Volume(tissues.region_labels(), placement.mr, unit="label")
    if settings.lesions != "none":
        volumes["lesion"] = _mask(tissues.lesion, placement.mr)
    return Case(volumes, truth)


def _scan_mr(
    volumes: dict[str, Volume],
    tissues: TissueMap,
    grid: Grid,
    streams: Streams,
    settings: CaseSettings,
) -> dict[str, Any]:
    scanner = SCANNERS[settings.scanner]
    relaxation = mr.draw_tissue(streams, scanner)
    facts: dict[str, Any] = {"scanner": scanner.name, "unit": "arbitrary"}
    for contrast in CONTRASTS:
        protocol = mr.draw_protocol(streams, scanner, contrast)
        image = mr.scan(
            tissues,
            relaxation,
            protocol,
            scanner,
            spacing_mm=grid.spacing_mm,
            generator=streams(f"noise {contrast}"),
        )
        volumes[contrast] = Volume(image, grid)
        facts[contrast] = {
            "sequence": type(protocol.sequence).__name__,
            **_rounded(asdict(protocol.sequence)),
            **_rounded({"bias": protocol.bias, "gain": protocol.gain, "noise": protocol.noise}),
        }
    return facts


def _scan_ct(
    volumes: dict[str, Volume],
    tissues: TissueMap,
    head: Head,
    placement: Placement,
    streams: Streams,
) -> dict[str, Any]:
    grid = placement.ct
    moved = placement.ct_seen_from_mr()
    if not np.array_equal(moved, placement.mr.affine) or grid.shape != placement.mr.shape:
        tissues = head.on(grid.shape, moved)
    attenuation = ct.draw_attenuation(streams)
    scanned = ct.scan(tissues, attenuation, spacing_mm=grid.spacing_mm, streams=streams)
    volumes["ct"] = Volume(scanned.image, grid, unit="HU")
    known = ct.known_from_tissue(tissues, attenuation, grid.spacing_mm)
    hidden = np.abs(scanned.image - known)[tissues.body].mean(dtype=np.float64)
    facts = {
        "ct_noise_floor_hu": scanned.noise_floor(tissues.body),
        "ct_tissue_floor_hu": float(hidden),
        "noise_hu": attenuation.noise_hu,
        "blur_mm": attenuation.blur_mm,
        "cortical_bone_hu": attenuation.bone_hu,
    }
    return {"unit": "HU", **_rounded(facts)}


def _scan_pet(
    volumes: dict[str, Volume],
    tissues: TissueMap,
    grid: Grid,
    streams: Streams,
    settings: CaseSettings,
) -> dict[str, Any]:
    uptake = pet.activity(tissues, streams)
    emission = pet.scan(
        uptake,
        tissues,
        dose_fraction=settings.dose_fraction,
        spacing_mm=grid.spacing_mm,
        streams=streams,
    )
    volumes["pet_low"] = Volume(emission.low, grid, unit="SUV")
    volumes["pet_full"] = Volume(emission.full, grid, unit="SUV")
    return {"unit": "SUV", "dose_fraction": settings.dose_fraction}


def _truth(
    seed: int, index: int, settings: CaseSettings, placement: Placement, head: Head
) -> dict[str, Any]:
    """Return what a case's images do not say, as JSON values."""
    spots = [
        {
            "centre_mm": [round(float(x), 2) for x in head.pose.world(spot.centre_mm)],
            "radius_mm": round(spot.radius_mm, 2),
            "suv": round(spot.suv, 2),
        }
        for spot in head.spots
    ]
    mass = head.lesions.mass
    facts: dict[str, Any] = {
        "seed": seed,
        "person": index,
        "settings": asdict(settings),
        "misregistration": placement.misregistration.as_json(),
        "traits": _rounded(asdict(head.traits)),
        "pet": {"hot_spots": spots},
    }
    if settings.lesions != "none":
        facts["lesions"] = {"white_matter": len(head.lesions.spots), "mass": mass is not None}
    if mass is not None:
        names = ("radius_mm", "push", "conspicuity", "oedema_mm", "core")
        facts["mass"] = _rounded({name: vars(mass)[name] for name in names})
    return facts


def _mask(mask: NDArray[np.bool_], grid: Grid) -> Volume:
    return Volume(mask.astype(np.uint8), grid, unit="mask")


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
