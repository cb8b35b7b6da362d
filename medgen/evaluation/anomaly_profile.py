"""The profile `anomaly`: what is said of each case's map, and under which names."""

from __future__ import annotations

from typing import Any

from medgen.config.anomaly import CASE_SCORES
from medgen.metrics import Column, Measured, Profile

NAME = "anomaly"
_LESIONS = "of cases with a lesion"
OF_MAPS = (
    Column(
        "voxel_average_precision",
        "",
        "higher",
        f"area under the precision-recall curve of the map's voxels, by steps, {_LESIONS}; "
        "`prevalence` is what a map of noise has",
    ),
    Column(
        "voxel_auroc", "", "higher", f"area under the ROC curve of the map's voxels, {_LESIONS}"
    ),
    Column(
        "dice",
        "",
        "higher",
        f"Dice of the mask that convert wrote, by its threshold of healthy cases, {_LESIONS}",
    ),
    Column("recall", "", "higher", f"share of the lesion inside that mask, {_LESIONS}"),
    Column("false_positive_ml", "ml", "lower", "volume of that mask outside the lesion"),
    Column(
        "oracle_dice",
        "",
        "higher",
        "ORACLE: the best Dice over all thresholds of the case's map, chosen knowing the answer; "
        "no result, but what a threshold of this map could reach (the written mask is cut from "
        f"z and loses small parts, so it may differ), {_LESIONS}",
    ),
)
OF_CASES = (
    Column("prevalence", "", None, "share of lesion among the scored voxels"),
    Column("lesion_ml", "ml", None, "volume of the lesion inside the scored region"),
    Column("mask_ml", "ml", None, "volume of the mask inside the scored region"),
    *(Column(name, "", None, "case score, by the sidecar") for name in CASE_SCORES),
    Column("p", "", None, "share of healthy calibration cases with such a score, by the sidecar"),
)
NOTES = (
    "A case is healthy where its reference has no voxel above 0.",
    "Average precision sums precision over the steps of recall, without interpolation; ties are "
    "one step. It depends on prevalence: compare it with the chance beside it, and only over the "
    "same cases and the same region.",
    "DeLong's interval (logit scale; Sun and Xu 2014) is Obuchowski's of 1997 where a patient has "
    "several cases; the bootstrap draws whole patients, and is too narrow with fewer than some "
    "twelve of them. An area of exactly 0 or 1 has no interval.",
    "The map counts by its direction: by size (both), or with the other sign as 0.",
    "Pooled figures weigh voxels alike, so that large lesions outvote small ones; means over cases "
    "weigh cases alike.",
)


def _needs_maps(*_: Any) -> Measured:
    raise ValueError(f"the profile {NAME} scores maps with their sidecars, not a pair of images")


PROFILE = Profile(
    name=NAME,
    title="Anomaly maps: which cases are unusual, and where",
    unit="arbitrary",
    details=(*OF_MAPS, *OF_CASES),
    measurement=_needs_maps,
    notes=NOTES,
)
