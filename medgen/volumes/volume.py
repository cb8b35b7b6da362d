"""A volume: voxel values, where they are, and what they measure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medgen.problems import Problem
from medgen.volumes.grid import Grid

if TYPE_CHECKING:
    from medgen.dicom import SeriesFacts

ARBITRARY = "arbitrary"


@dataclass(frozen=True, eq=False)
class Volume:
    """Hold voxel values (X, Y, Z) on a grid.

    `unit` names what the values measure ("HU", "Bq/ml", "SUV", "arbitrary", ...); `digest` is the
    SHA-256 of the bytes of the file it came from, empty for a volume made in memory. `valid` is
    False where the scanner padded and nothing was measured; None where every voxel counts. Raises
    ValueError where an array does not fill the grid.
    """

    data: NDArray[Any]
    grid: Grid
    unit: str = ARBITRARY
    digest: str = ""
    valid: NDArray[np.bool_] | None = None
    series: SeriesFacts | None = field(default=None, repr=False)
    """The DICOM series it was read from: headers, so nothing of it may be printed or logged."""
    notes: tuple[Problem, ...] = ()
    """What reading left out or put right, though the volume is sound."""

    def __post_init__(self) -> None:
        for values in (self.data, self.valid):
            if values is not None and np.shape(values) != self.grid.shape:
                raise ValueError(
                    f"data of shape {np.shape(values)} on a grid of shape {self.grid.shape}"
                )

    @property
    def frame_of_reference(self) -> str:
        """Return the FrameOfReferenceUID of a DICOM series, or "" where there is none."""
        return self.series.frame_of_reference if self.series is not None else ""

    def with_data(self, data: NDArray[Any], *, unit: str | None = None) -> Volume:
        """Return other values on the same grid, without the file's digest."""
        return replace(self, data=data, unit=unit or self.unit, digest="")
