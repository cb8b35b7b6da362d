"""What a run knows of its training cases, and a case held against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from medgen.config import OwnScale, Scale, SharedScale
from medgen.conversion.answer_checks import judged_trust, seam_trust, volume_trust
from medgen.conversion.doubts import doubts_of
from medgen.conversion.monitor import Judgement, Monitor
from medgen.conversion.seams import seam_energy
from medgen.conversion.source_checks import SourceCheck
from medgen.conversion.stages import Ready
from medgen.conversion.trust import Finding, Trust
from medgen.conversion.windows import Windowed
from medgen.data import PreparedSource, Preprocessing, Regions, Usual, looks_at, regions_of

UNKNOWN = Finding(
    "statistics",
    "warn",
    "the run recorded nothing of its training cases' images: whether this case is like them "
    "cannot be told; train again to have it checked",
)
"""Of a run from before they were recorded."""


@dataclass(frozen=True)
class Judge:
    """Hold sources and answers against what the run recorded of its training cases."""

    sources: Mapping[str, Usual] = field(default_factory=dict)
    """By column; empty: nothing was recorded."""
    label_ml: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The range of each class's volume in training."""

    def looked(self, ready: Ready, preprocessing: Preprocessing) -> Ready:
        """Return a case with what is found against the sources that a method is given.

        A stage of a chain that sees the answer before it alone has no source of its own to judge.
        """
        columns, prepared = preprocessing.looked_at, ready.prepared
        if not columns:
            return replace(ready, trust=Trust())
        if not all(column in self.sources for column in columns):
            return replace(ready, trust=Trust((UNKNOWN,)))
        regions = regions_in(prepared)
        looks = looks_at(
            columns,
            prepared.source,
            prepared.source_codecs,
            ready.volumes,
            prepared.body,
            regions,
        )
        found = Trust()
        for column, look in zip(columns, looks, strict=True):
            found += SourceCheck(
                column,
                look,
                self.sources[column],
                prepared.grid.spacing_mm.tolist(),
                fixed_scale=not measured_anew(column, preprocessing.intensity),
                reference=column == columns[0],
            ).trust()
        return replace(ready, trust=found, regions=regions)

    def of_volumes(self, volumes_ml: Mapping[str, float]) -> Trust:
        """Return what is found against the classes' volumes."""
        return volume_trust(volumes_ml, self.label_ml)


def regions_in(prepared: PreparedSource) -> Regions:
    """Return the regions of a case's body, in which its source and its answer are looked at."""
    return regions_of(prepared.body, spacing_mm=prepared.grid.spacing_mm)


def measured_anew(column: str, scales: Mapping[str, Scale]) -> bool:
    """Tell whether a column's scale is measured on each volume, so that its level is no matter."""
    scale = scales[column]
    if isinstance(scale, SharedScale):
        scale = scales[scale.column]
    return isinstance(scale, OwnScale)


def judge_image(
    monitor: Monitor | None, judge: Judge | None, windowed: Windowed, ready: Ready
) -> tuple[Judgement | None, Trust]:
    """Return what the monitor says of an encoded image, and what is found against it.

    Nothing of other answers, which have no codec, and of those that are not finite, which decoding
    will refuse.
    """
    encoded, prepared = windowed.encoded[0].numpy(), ready.prepared
    judged = None
    if monitor is not None:
        (codec,) = prepared.target_codecs.values()
        regions = ready.regions or regions_in(prepared)
        judged = monitor.judge(encoded, regions, codec=codec)
    found = judged_trust(judged)
    if judge is not None and prepared.target_codecs and np.isfinite(encoded).all():
        found += seam_trust(seam_energy(encoded, prepared.body, windowed.tiling))
    return judged, found


def trust_of(
    ready: Ready,
    answer: Trust,
    body_fraction: float,
    judge: Judge | None,
    facts: Mapping[str, Any],
) -> Trust:
    """Return all that is found of a case: of the stages before, its source and its answer.

    Takes what was found against the answer so far, and the facts that decoding gave.
    """
    before = ready.before.get("trust")
    found = Trust() if before is None else Trust.from_json(before)
    known = ready.trust is not None and bool(ready.trust.measures)
    doubts = doubts_of(ready.prepared, body_fraction, spacing_known=known)
    volumes = Trust() if judge is None else judge.of_volumes(facts.get("volume_ml", {}))
    return found + (ready.trust or Trust()) + doubts + answer + volumes
