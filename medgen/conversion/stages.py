"""What a case is between the stages of its conversion: made ready, answered, restored.

The stages may run in different threads, one case ahead of the other: making ready and restoring
are the processor's work, answering is the device's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from medgen.conversion.decoding import Decoder, Keep
from medgen.conversion.lesion_table import Lesion
from medgen.conversion.trust import Trust
from medgen.conversion.windows import Windowed
from medgen.data import PreparedSource, Regions
from medgen.volumes import Volume


@dataclass(frozen=True, eq=False)
class Ready:
    """A case on the working grid, with all that answering and restoring need."""

    prepared: PreparedSource
    decoder: Decoder
    source: NDArray[np.float32]
    """What the method is given (C, X, Y, Z): encoded channels, and coordinates where located."""
    keep: Keep
    volumes: Mapping[str, Volume]
    """What the case was made ready from."""
    seconds: Mapping[str, float]
    before: Mapping[str, Any] = field(default_factory=dict)
    """In a chain, the facts of the stages before."""
    trust: Trust | None = None
    """What the sources are like beside the training cases'; None where that was not looked at."""
    regions: Regions | None = None
    """Where in the body that was, for the answer to be looked at in the same places."""
    members: tuple[Ready | Waiting, ...] = ()
    """The same case, made ready for the other members of an ensemble."""

    @property
    def digests(self) -> dict[str, str]:
        """Return the digest of each volume; of what a chain feeds there is none."""
        return {column: volume.digest for column, volume in self.volumes.items()}


@dataclass(frozen=True, eq=False)
class Waiting:
    """A case of a chain, whose last stage waits for the answer of the one before."""

    before: Ready | Waiting
    volumes: Mapping[str, Volume]
    members: tuple[Ready | Waiting, ...] = ()
    """The same case, made ready for the other members of an ensemble."""


@dataclass(frozen=True, eq=False)
class Answered:
    """A case's encoded answer on the working grid."""

    ready: Ready
    windowed: Windowed
    seconds: Mapping[str, float]
    deviation: Tensor | None = None
    """(K, X, Y, Z): the standard deviation over several answers, encoded; None: not asked for."""
    spread_facts: Mapping[str, Any] = field(default_factory=dict)
    """How the deviation was found, as plain JSON values."""
    warnings: tuple[str, ...] = ()
    """What about the deviation deserves one."""


@dataclass(frozen=True, eq=False)
class Converted:
    """An answer, and what is worth knowing about how it came to be."""

    volume: Volume
    """The answer on the first source column's native grid: float32 in its unit, or uint8 labels."""
    facts: Mapping[str, Any]
    """Plain JSON values: windows, seconds, spacing, clipped voxels, warnings, ..."""
    lesions: tuple[Lesion, ...] | None = None
    """The connected parts of the classes that are listed; None where none are."""
    beside: Mapping[str, Volume] = field(default_factory=dict)
    """Other volumes on the same grid, by what follows the case's name in theirs."""
    trust: Trust | None = None
    """Whether the answer may be believed; None where that was not looked at."""
