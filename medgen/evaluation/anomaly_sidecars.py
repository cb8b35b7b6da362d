"""What a conversion noted beside an anomaly map: scores, thresholds and the mask it vouches for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from medgen.calibration import Direction
from medgen.config.anomaly import CASE_SCORES
from medgen.dicom import split_choice
from medgen.evaluation.sidecars import content_beside, listed_beside
from medgen.volumes import volume_name

DIRECTIONS: Mapping[object, Direction] = {d: d for d in get_args(Direction)}
MASK = "mask"


@dataclass(frozen=True)
class AnomalyFacts:
    """The block `anomaly` of a sidecar, as far as it can be believed."""

    direction: Direction = "both"
    """Which residuals count."""
    score: str = ""
    """The name of the score that stands for the case; empty where the sidecar names none."""
    scores: Mapping[str, float] = field(default_factory=dict)
    p: float = math.nan
    """Of `score`."""
    case_threshold: float = math.nan
    unusual: bool | None = None
    """Whether the score reached the threshold; None without one."""
    model: str = ""
    """SHA-256 of the weights that answered."""
    mask: Path | None = None
    """The mask that the sidecar lists beside the map."""
    mask_digests: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()


def read_anomaly(prediction: Path) -> AnomalyFacts:
    """Read the block `anomaly` of NAME.json beside a map, and find the mask that it lists.

    Another tool's map has no such block: nothing is then made up in its place, and the remark
    says what is not scored.
    """
    content = content_beside(prediction)
    block = content.get("anomaly") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(block, dict):
        said = "no sidecar tells the case's score: only voxels are scored, by the map's size"
        return AnomalyFacts(remarks=(said,))
    remarks = []
    direction = DIRECTIONS.get(str(block.get("direction")))
    if direction is None:
        remarks.append("the sidecar names no direction: the map counts by its size")
    scores = _numbers(block.get("scores"))
    name = next((each for each in scores if each == block.get("score")), "")
    if not name:
        remarks.append("the sidecar tells no score that stands for the case")
    unusual, model = block.get("unusual"), content.get("weights_digest")
    vouched = listed_beside(content).get(MASK, frozenset())
    mask = _beside(prediction, MASK) if vouched else None
    if vouched and mask is None:
        remarks.append("the sidecar lists a mask that is not there")
    return AnomalyFacts(
        direction or "both",
        name,
        scores,
        _numbers(block.get("p")).get(name, math.nan),
        _number(block.get("case_threshold")),
        unusual if isinstance(unusual, bool) else None,
        model if isinstance(model, str) else "",
        mask,
        vouched,
        tuple(remarks),
    )


def _numbers(block: object) -> dict[str, float]:
    """Return the finite numbers of a block by the known scores' names."""
    given = block if isinstance(block, dict) else {}
    found = {name: _number(given.get(name)) for name in CASE_SCORES}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _number(value: object) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else math.nan  # type: ignore[arg-type]


def _beside(prediction: Path, key: str) -> Path | None:
    """Return NAME_KEY beside a map, in the map's own form: a file or a DICOM folder."""
    place, _ = split_choice(prediction)
    name = volume_name(place)
    path = place.with_name(f"{name}_{key}{place.name[len(name) :]}")
    return path if path.exists() else None
