"""A volume: voxel values, where they are, and what they measure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.volumes.grid import Grid


@dataclass(frozen=True, eq=False)
class Volume:
    """Hold voxel values (X, Y, Z) on a grid.

    `unit` names what the values measure ("HU", "arbitrary", ...); `digest` is the SHA-256 of the
    bytes of the file it came from, empty for a volume made in memory. Raises ValueError where
    the data does not fill the grid.
    """

    data: NDArray[Any]
    grid: Grid
    unit: str = "arbitrary"
    digest: str = ""

    def __post_init__(self) -> None:
        if np.shape(self.data) != self.grid.shape:
            raise ValueError(
                f"data of shape {np.shape(self.data)} on a grid of shape {self.grid.shape}"
            )

    def with_data(self, data: NDArray[Any], *, unit: str | None = None) -> Volume:
        """Return other values on the same grid, without the file's digest."""
        return replace(self, data=data, unit=unit or self.unit, digest="")
