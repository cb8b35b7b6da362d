"""What can be found against an answer beside what the monitor says of it: seams, and volumes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from medgen.conversion.monitor import Judgement
from medgen.conversion.trust import Finding, Limits, Trust

SEAMS = Limits(1.5, 3.0)
"""Seam energy: how much rougher an answer is where windows meet than beside."""

VOLUMES = Limits(3.0)
"""Times beyond the range of a class's volume in training; of anatomy, either way."""


def judged_trust(judged: Judgement | None) -> Trust:
    """Return what the monitor found of an image."""
    if judged is None:
        return Trust()
    known = {
        f"answer.{name}": value
        for name, value in judged.as_json().items()
        if isinstance(value, float) or value is None
    }
    measures = {n: None if v is None or math.isnan(v) else v for n, v in known.items()}
    return Trust(judged.findings, measures)


def seam_trust(energy: float | None) -> Trust:
    """Return what the seams of an answer of several windows come to."""
    if energy is None:
        return Trust()
    verdict = SEAMS.verdict(energy)
    reason = (
        f"the answer is {energy:.2f} times as rough where windows meet as beside "
        f"(limit {SEAMS.beyond(verdict):g}); a larger convert.overlap_voxels may help"
    )
    findings = () if verdict == "pass" else (Finding("seams", verdict, reason),)
    return Trust(findings, {"answer.seams": energy})


def volume_trust(
    volumes_ml: Mapping[str, float], usual_ml: Mapping[str, tuple[float, float]]
) -> Trust:
    """Hold the volume of each class against those in the training cases.

    A class that some training case has nothing of may be missing, as lesions are.
    """
    findings, measures = [], {}
    for name, (low, high) in usual_ml.items():
        found = volumes_ml.get(name)
        if found is None or high <= 0.0:
            continue
        beyond = max(found / high, low / found if found else (math.inf if low else 0.0))
        measures[f"{name}.volume"] = None if math.isinf(beyond) else beyond
        if VOLUMES.verdict(beyond) != "pass":
            reason = (
                f"{name} has {found:.3g} ml, of the training cases {low:.3g} to {high:.3g}; "
                f"beyond {VOLUMES.warn:g} times that is doubtful"
            )
            findings.append(Finding("volume", "warn", reason))
    return Trust(tuple(findings), measures)
