"""Cases on the working grid, ready for a method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.data.intensity import Codec
from medgen.data.look import Look
from medgen.data.masks import Mask
from medgen.volumes import Grid


@dataclass(frozen=True, eq=False)
class PreparedSource:
    """What conversion works on, and what it needs for the way back."""

    source: NDArray[np.float32]
    """Encoded channels (C, X, Y, Z)."""
    body: Mask
    grid: Grid
    """The working grid, cropped."""
    native: Grid
    """The first source column's own grid."""
    body_native: Mask
    source_codecs: Mapping[str, Codec]
    target_codecs: Mapping[str, Codec]
    warnings: tuple[str, ...] = ()
    overlaps: Mapping[str, float] = field(default_factory=dict)
    """Dice of each other source column's body outline with the first's."""


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """What training works on: (C, X, Y, Z) float32 images; labels, mask and body in uint8.

    The body has its rim, beyond which conversion answers with background.
    """

    arrays: Mapping[str, NDArray[Any]]
    codecs: Mapping[str, Codec]
    grid: Grid
    warnings: tuple[str, ...] = ()
    overlaps: Mapping[str, float] = field(default_factory=dict)
    looks: Mapping[str, tuple[Look, ...]] = field(default_factory=dict)
    """How the images of each role are, in the order of its columns."""
