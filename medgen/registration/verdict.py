"""Whether an alignment may be used: thresholds on its agreement, tuned on real failures.

They come from 18 real FLAIR-T1 pairs and 15 others, where right alignments and planted wrong ones
lie apart (benchmarks/registration.md), and are set so that what is a few millimetres off is shown
to a person. What they cannot see: a body mirrored left to right, and an error below some 3 mm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from medgen.registration.deformation import Deformation
from medgen.registration.linear import Registration
from medgen.registration.scoring import Agreement

INFORMATION_FAILED, INFORMATION_DOUBTFUL = 0.4, 0.24
"""Nats. High information saves an alignment whose edges differ, as those of MR and PET do; right
alignments of MR and CT have 0.27 and more, other persons' heads 0.05 to 0.36."""
PARALLEL_FAILED, PARALLEL_DOUBTFUL = 0.70, 0.76
"""Chance is 1/3. Right alignments of MR and CT: 0.78 and more; 10 mm off, or another person's head:
up to 0.69."""
FALLEN = 0.85
"""The share of the headers' information below which a registration has made things worse."""
DICE_DOUBTFUL = 0.95
"""Right: 0.98 and more; 10 mm off: 0.90 to 0.94."""
SHARED_FAILED, SHARED_DOUBTFUL = 0.2, 0.5
SPREAD_DOUBTFUL_MM = 4.0
FOLDED_FAILED = 0.01
LARGEST_DOUBTFUL_MM = 25.0


@dataclass(frozen=True)
class Verdict:
    """What may be done with an alignment, and why."""

    name: Literal["ok", "doubtful", "failed"]
    """`ok`: use it; `doubtful`: a person should look first; `failed`: it must not be used."""
    reasons: tuple[str, ...]
    """One sentence for each thing that speaks against it, with the number and its limit."""


def judge(
    before: Agreement,
    after: Agreement,
    found: Registration,
    *,
    min_overlap: float,
    deformation: Deformation | None = None,
) -> Verdict:
    """Decide whether an alignment is used, shown to a person first, or refused.

    Two witnesses that know no modality decide: mutual information and the direction of edges. Where
    both speak clearly against an alignment it fails; where one does, a person should look. Outlines
    count only where both images see, so that a smaller field of view speaks against nothing.

    Args:
        before: the agreement with both headers as they are.
        after: the agreement of what is to be used.
        found: the linear registration.
        min_overlap: the least Dice of the body outlines where both images see, 0 to 1.
        deformation: what was added to it, if anything.
    """
    failures, doubts = _by_content(after)
    for more_failures, more_doubts in (
        _by_place(before, after, found, min_overlap),
        _by_deformation(deformation),
    ):
        failures += more_failures
        doubts += more_doubts
    if failures:
        return Verdict("failed", tuple(failures))
    return Verdict("doubtful" if doubts else "ok", tuple(doubts))


Findings = tuple[list[str], list[str]]
"""What makes an alignment fail, and what makes it doubtful."""


def _by_content(after: Agreement) -> Findings:
    """Ask both witnesses."""
    told, parallel = after.mutual_information, after.edge_parallel
    if math.isnan(told) or math.isnan(parallel):
        return ["too little of the bodies lies where both images see to tell"], []
    against = []
    if told < INFORMATION_DOUBTFUL:
        limit = f"(right: over {INFORMATION_DOUBTFUL:.2f})"
        against.append(f"mutual information is {told:.2f} nats {limit}")
    if parallel < PARALLEL_DOUBTFUL:
        against.append(
            f"edges are parallel to {parallel:.2f} (right: over {PARALLEL_DOUBTFUL:.2f})"
        )
    both = told < INFORMATION_FAILED and parallel < PARALLEL_FAILED
    return (against, []) if both else ([], against)


def _by_place(
    before: Agreement, after: Agreement, found: Registration, min_overlap: float
) -> Findings:
    """Ask where the bodies lie, and whether the search was sure."""
    failures, doubts = [], []
    dice = f"the body outlines overlap by {after.outline_dice:.2f}"
    if after.outline_dice < min_overlap:
        failures.append(f"{dice} (asked for: {min_overlap:.2f})")
    elif after.outline_dice < DICE_DOUBTFUL:
        doubts.append(f"{dice} (right: over {DICE_DOUBTFUL:.2f})")
    shared = f"both images see {after.shared:.0%} of the smaller body"
    if after.shared < SHARED_FAILED:
        failures.append(f"{shared} (least: {SHARED_FAILED:.0%})")
    elif after.shared < SHARED_DOUBTFUL:
        doubts.append(f"{shared} (usual: over {SHARED_DOUBTFUL:.0%})")
    if (
        after.mutual_information < FALLEN * before.mutual_information
        and after.edge_parallel < before.edge_parallel
    ):
        told = f"{before.mutual_information:.2f} to {after.mutual_information:.2f} nats"
        doubts.append(f"the headers as they are agreed better: information fell from {told}")
    if found.spread_mm > SPREAD_DOUBTFUL_MM:
        limit = f"(usual: under {SPREAD_DOUBTFUL_MM:.0f} mm)"
        doubts.append(f"equally good searches ended {found.spread_mm:.0f} mm apart {limit}")
    return failures, doubts


def _by_deformation(deformation: Deformation | None) -> Findings:
    """Ask whether tissue could have deformed so."""
    if deformation is None:
        return [], []
    failures, doubts = [], []
    folded = f"the deformation turns {deformation.folded:.2%} of the voxels inside out"
    if deformation.folded > FOLDED_FAILED:
        failures.append(f"{folded} (at most {FOLDED_FAILED:.0%})")
    elif deformation.folded > 0:
        doubts.append(f"{folded} (right: none)")
    if deformation.largest_mm > LARGEST_DOUBTFUL_MM:
        limit = f"(usual: under {LARGEST_DOUBTFUL_MM:.0f} mm)"
        doubts.append(
            f"the deformation moves tissue by up to {deformation.largest_mm:.0f} mm {limit}"
        )
    return failures, doubts
