"""What a segmentation's page shows besides: scores by class, confusions, pictures of labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from medgen.evaluation.confusion import Confusions
from medgen.evaluation.scoring import Triplet
from medgen.metrics import UNKNOWN, Column, Profile
from medgen.report import label_preview, to_ras

FEW_CLASSES = 12
"""So many classes get a strip, a column of the cases' table and a place among the confusions."""


def drawn(profile: Profile, found: Mapping[str, Any]) -> tuple[Column, ...]:
    """Return the columns to draw: class means with a better side, and Dice of the worst classes."""

    def mean(column: Column) -> float:
        value = found["scores"][column.name]["mean"]
        return math.inf if value is None else float(value)

    names = profile.classes if len(profile.classes) > 1 else ()  # one class is its own mean
    leading = sorted((profile.of_class(name)[0] for name in names), key=mean)
    kept = {column.name for column in (*profile.overall, *leading[:FEW_CLASSES])}
    return tuple(c for c in profile.details if c.name in kept and c.better is not None)


def class_context(
    profile: Profile, found: Mapping[str, Any], confusions: Confusions
) -> dict[str, Any]:
    """Return what the template needs; `found` are the statistics of the headline."""
    few = len(profile.classes) <= FEW_CLASSES
    rows = [
        (name, value, [(column, found["scores"][column.name]) for column in profile.of_class(name)])
        for name, value in profile.classes.items()
    ]
    leading = [profile.of_class(name)[0] for name in profile.classes]
    return {
        "means": profile.overall,
        "by_class": rows,
        "in_table": [*profile.overall, *(leading if few and len(leading) > 1 else [])],
        "confusion": confusions.confusion() if few and profile.classes else None,
        "predicted_as": [*profile.classes, UNKNOWN],
    }


def label_picture(profile: Profile, triplet: Triplet) -> bytes:
    """Draw reference, prediction and where they differ, in slices with many wrong voxels."""
    codes = Confusions(profile.classes).codes
    inside, spacing = to_ras(triplet.mask, triplet.grid)
    reference, _ = to_ras(codes(triplet.reference), triplet.grid)
    prediction, _ = to_ras(codes(triplet.prediction), triplet.grid)
    return label_preview(
        np.where(inside, reference, 0),
        np.where(inside, prediction, 0),
        [*profile.classes, UNKNOWN],
        spacing_mm=spacing,
    )
