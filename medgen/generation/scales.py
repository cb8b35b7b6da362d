"""What the values of a drawn image mean: no volume is there whose own percentiles would say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medgen.config import CohortScale, PercentileScale, SharedScale, WindowScale, ZScoreScale
from medgen.data import Codec, Preprocessing, measure
from medgen.data.intensity import ARBITRARY, fitted_codec


@dataclass(frozen=True)
class Meaning:
    """How encoded values become those that are written, and how to read them."""

    codec: Codec
    scale: str
    """In words, for the sidecar."""


def meaning_of(preprocessing: Preprocessing, column: str) -> Meaning:
    """Return what decodes a drawn image of a column.

    A window decodes to its unit, a cohort scale by the training cases' percentiles. Scales that are
    measured on each volume leave no physical unit: an image of percentiles is written with 0 and 1
    at its ends, one of z-scores in standard deviations, both in the unit "arbitrary".
    """
    scale = preprocessing.intensity[column]
    if isinstance(scale, SharedScale):
        return meaning_of(preprocessing, scale.column)
    if isinstance(scale, WindowScale):
        nothing = np.zeros((1, 1, 1), dtype=np.float32)
        codec = measure(scale, nothing, nothing > 0)
        return Meaning(codec, f"{codec.unit}, within [{scale.low:g}, {scale.high:g}]")
    if isinstance(scale, CohortScale):
        codec = fitted_codec(scale, preprocessing.cohort[column])
        ends = f"{codec.low:g} and {codec.high:g}"
        words = f"as in the training cases, whose median percentiles {_ends(scale)} are {ends}"
        return Meaning(codec, words)
    if isinstance(scale, ZScoreScale):
        reach = scale.deviations
        words = "0 is the mean of a volume inside the body, 1 a standard deviation above it"
        return Meaning(Codec(-reach, reach, False, ARBITRARY, -reach), words)
    words = f"0 and 1 are the percentiles {_ends(scale)} of a volume inside the body"
    return Meaning(Codec(0.0, 1.0, False, ARBITRARY, 0.0), words)


def _ends(scale: PercentileScale | CohortScale) -> str:
    return f"{scale.low:g} and {scale.high:g}"
