"""Regions that uptake is scored in: which label values there are, and a case's map of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.evaluation.matching import Matched, listed
from medgen.evaluation.placing import on_grid
from medgen.evaluation.reach import LEAST_COVERED
from medgen.metrics import PROFILES, Profile, class_slugs, values_of, whole_labels
from medgen.metrics.labels import Labels
from medgen.problems import ConfigurationError, MedgenError, Problem
from medgen.volumes import Grid, Volume, open_volume


@dataclass(frozen=True)
class Regions:
    """The regions that have columns, by name, and what is to be said of them."""

    names: Mapping[str, int] = field(default_factory=dict)
    source: str = ""
    remarks: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"names": dict(self.names), "source": self.source, "remarks": list(self.remarks)}


def check_regional(profile: Profile) -> None:
    """Refuse a region map where the profile scores no regions.

    Raises:
        ConfigurationError: E_PROFILE_REGIONS, naming the profiles that do.
    """
    if not profile.regional:
        able = ", ".join(name for name, each in PROFILES.items() if each.regional)
        message = f"regions were given, and the profile {profile.name} scores none"
        advice = f"use --profile {able}, or leave the regions out"
        raise ConfigurationError(Problem("E_PROFILE_REGIONS", message, advice))


def find_regions(
    matched: Matched, names: Mapping[str, int], *, nan_to: float | None = None
) -> Regions:
    """Find the regions: every label value above 0 that some case's map holds.

    `names` gives names to values; the others are called `label_VALUE`. Maps are read one by one,
    each file once; one that cannot be read is left to be refused when its case is scored.
    """
    held: set[int] = set()
    for path in dict.fromkeys(case.regions for case in matched.cases):
        held |= _values_in(path, nan_to) if path is not None else set()
    by_value = {value: name for name, value in names.items()}
    found = class_slugs({by_value.get(v, f"label_{v}"): v for v in sorted(held)})
    strange = [f"{name}={value}" for name, value in names.items() if value not in held]
    remarks = []
    if strange:
        remarks.append(f"no case's regions hold the label values named {listed(strange)}")
    if not held:
        remarks.append("no case's regions hold any label value above 0: no region is scored")
    return Regions(found, matched.region_source, tuple(remarks))


def _values_in(path: Path, nan_to: float | None) -> set[int]:
    try:
        return set(values_of(whole_labels(open_volume(path, nan_to=nan_to).data, "regions")))
    except MedgenError:
        return set()


def placed_regions(
    volume: Volume,
    grid: Grid,
    measured: NDArray[np.bool_],
    match: bool,
    remarks: list[str],
) -> Labels:
    """Return a region map (X, Y, Z) on the reference's grid, by the nearest voxel.

    Voxels that are not `measured` by both volumes are taken out; a region of which less than 95 %
    is left is not scored at all, since half a lesion's uptake is not the lesion's. Both join the
    remarks.

    Raises:
        Refusal: E_LABEL_VALUES or E_GRID_MISMATCH, naming the regions.
    """
    whole = volume.with_data(whole_labels(volume.data, "regions"))
    placed = on_grid(whole, grid, "regions", match, remarks, order=0, outside=0.0)
    labels = np.asarray(placed, dtype=np.int32)
    if bool(measured[labels > 0].all()):
        return labels
    before = np.bincount(labels.ravel())
    left = np.bincount(labels[measured], minlength=before.size)
    cut = np.flatnonzero(left < before)
    cut = cut[cut > 0]
    lost = cut[left[cut] < LEAST_COVERED * before[cut]]
    kept = np.where(measured & ~np.isin(labels, lost), labels, 0)
    for values, words in (
        (lost, "are not scored"),
        (np.setdiff1d(cut, lost), "are scored without it"),
    ):
        if values.size:
            which = listed(map(str, values))
            remarks.append(
                f"part of some regions lies where one of the volumes measured nothing: label "
                f"values {which} {words}"
            )
    return kept.astype(np.int32, copy=False)


def common_regions(first: Profile, second: Profile) -> tuple[Profile, Profile, list[str]]:
    """Return two reports' profiles with the regions of one name and value in both.

    What was left out is said. Profiles without regional scores return as they are.
    """
    if first.regions == second.regions:
        return first, second, []
    shared = {n: v for n, v in first.regions.items() if second.regions.get(n) == v}
    said = [
        f"only the {which} report has the regions {listed(alone)}: left out"
        for which, mine in (("first", first.regions), ("second", second.regions))
        if (alone := [f"{n}={v}" for n, v in mine.items() if n not in shared])
    ]
    return first.for_regions(shared), second.for_regions(shared), said
