"""What the page of an evaluation by region shows besides: uptake, region by region."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medgen.metrics import Column, Profile

FEW_REGIONS = 8
"""So many regions get strips and a column in the table of cases."""
LEADING = ("suv_mean_bias", "suv_max_bias")
"""What is shown of a region case by case."""


def drawn(profile: Profile) -> tuple[Column, ...]:
    """Return the columns to draw: of the whole, and of a few regions the leading biases."""
    chosen = [profile.column(f"{score}_{name}") for name in _few(profile) for score in LEADING]
    return (*profile.overall, *chosen)


def _few(profile: Profile) -> list[str]:
    return list(profile.regions) if len(profile.regions) <= FEW_REGIONS else []


def region_context(profile: Profile, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template needs; `found` are the statistics of the headline.

    A region's scores stand as the reader asks for them: how large and how hot it is, then how far
    off the prediction is.
    """
    described = [score for score in profile.regional if score.better is None]
    judged = [score for score in profile.regional if score.better is not None]
    order = [*reversed(described), *judged]
    rows = [
        (
            name,
            value,
            [(score, found["scores"][f"{score.name}_{name}"]) for score in order],
        )
        for name, value in profile.regions.items()
    ]
    return {
        "regional": order,
        "by_region": rows,
        "regions_in_table": {
            name: [f"{score}_{name}" for score in LEADING] for name in _few(profile)
        },
    }
