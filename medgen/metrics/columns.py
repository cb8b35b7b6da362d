"""What a score is: its unit, its direction, its definition; and scores with remarks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Direction = Literal["lower", "higher", "zero"]
"""Which way a score gets better; "zero": the nearer to zero."""


@dataclass(frozen=True)
class Column:
    """One score of a profile. `better` is None for a number that only describes the case."""

    name: str
    unit: str
    better: Direction | None
    definition: str


class Measured(NamedTuple):
    """One case's scores by column, and remarks on those that are NaN or doubtful."""

    scores: Mapping[str, float]
    remarks: tuple[str, ...] = ()


def improvement(direction: Direction, first: float, second: float) -> int:
    """Return 1 where `second` is the better score, -1 where `first` is, 0 where equal or NaN."""
    if math.isnan(first) or math.isnan(second):
        return 0
    if direction == "zero":
        first, second = abs(first), abs(second)
    if direction == "higher":
        first, second = second, first
    return (second < first) - (second > first)
