"""What windows are to answer: a source, and which of its voxels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medgen.conversion.decoding import Keep
from medgen.conversion.progress import Progress
from medgen.data.masks import bounding_box


@dataclass(frozen=True, eq=False)
class Task:
    """One encoded source to answer."""

    source: NDArray[np.float32]
    """(C, X, Y, Z), a located method's coordinates included."""
    background: NDArray[np.float32]
    """The K encoded values of a voxel where nothing is."""
    keep: Keep
    """Voxels (X, Y, Z) to answer; None: all."""
    progress: Progress | None

    @property
    def held_bytes(self) -> int:
        """Return what the whole source and its answer take."""
        channels = len(self.source) + len(self.background)
        return 4 * channels * math.prod(self.source.shape[1:])

    @cached_property
    def box(self) -> tuple[slice, ...]:
        """Return the box of what is to be answered; the whole volume where that is nothing."""
        shape = self.source.shape[1:]
        if self.keep is None or not self.keep.any():
            return tuple(slice(0, length) for length in shape)
        return bounding_box(self.keep)

    def box_with(self, rim: int | None) -> tuple[slice, ...]:
        """Return the box and what lies around it inside the volume, as far as edges would show."""
        lengths = self.source.shape[1:]
        return tuple(
            slice(max(0, span.start - (rim or 0)), min(length, span.stop + (rim or 0)))
            for span, length in zip(self.box, lengths, strict=True)
        )
