"""Which columns' intensities may be augmented in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from medgen.config import OwnScale, Scale, SharedScale


class Scaled(Protocol):
    """What decides it: the scales, the target's columns, and whether answers are in their scale."""

    @property
    def intensity(self) -> Mapping[str, Scale]:
        """Return the scale of each column."""

    @property
    def target_columns(self) -> Sequence[str]:
        """Return the target's columns."""

    @property
    def decodes_target(self) -> bool:
        """Tell whether answers are images in the target's scale."""


def jitters(scaled: Scaled, column: str) -> bool:
    """Tell whether a column's intensity may be augmented.

    Only scales measured on the volume carry no physical meaning, and not where an answer shares
    them.
    """
    shared = {s.column for s in scaled.intensity.values() if isinstance(s, SharedScale)}
    answered = scaled.decodes_target and column in scaled.target_columns
    own = isinstance(scaled.intensity[column], OwnScale)
    return own and not answered and column not in shared
