"""The answer by place alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from medgen.baselines.pairs import HOUNSFIELD, Pair, no_voxels
from medgen.problems import Refusal
from medgen.registration import register
from medgen.volumes import Grid, Volume, resample

AIR_HU = -1024.0
AT_ONCE = 64_000_000
"""Largest number of voxels that are stacked to take a median over cases."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class AlignedMedian:
    """Answer each voxel by its place alone: the median of training targets laid over the case.

    Every training source is registered to the case's source with twelve parameters; its target
    goes with it. This is the simplest atlas, and strong where people are alike.
    """

    pairs: tuple[Pair, ...]
    resolution_mm: float
    name: ClassVar[str] = "aligned_median"

    @classmethod
    def fit(cls, pairs: Iterable[Pair], *, resolution_mm: float = 4.0) -> AlignedMedian:
        """Keep the training pairs; registrations end at `resolution_mm`.

        Raises:
            ConfigurationError: E_BASELINE_EMPTY without a pair.
        """
        kept = tuple(pairs)
        if not kept:
            raise no_voxels()
        return cls(kept, resolution_mm)

    def predict(self, source: Volume) -> Volume:
        """Answer on the source's own grid, in HU.

        A training case that cannot be registered is left out with a warning. Voxels that no
        laid-over target reaches are air.

        Raises:
            Refusal: no training case can be registered to the source.
        """
        placed = list(self._laid_over(source))
        answer = np.empty(source.grid.shape, np.float32)
        plane = int(np.prod(source.grid.shape[1:]))
        step = max(1, AT_ONCE // (plane * len(placed)))
        for start in range(0, source.grid.shape[0], step):
            count = min(step, source.grid.shape[0] - start)
            slab = source.grid.crop((start, 0, 0), (count, *source.grid.shape[1:]))
            answer[start : start + count] = _median_over(placed, slab)
        return Volume(answer, source.grid, HOUNSFIELD)

    def _laid_over(self, source: Volume) -> Iterator[Volume]:
        """Yield each training target with the grid that lays it over the case."""
        failures: list[Refusal] = []
        for pair in self.pairs:
            try:
                found = register(
                    pair.source.data,
                    pair.source.grid.affine,
                    source.data,
                    source.grid.affine,
                    resolution_mm=self.resolution_mm,
                )
            except Refusal as error:
                failures.append(Refusal(error.at(case=pair.case).problems))
                log.warning("a training case was left out: %s", failures[-1])
                continue
            grid = Grid(pair.target.grid.shape, found.matrix @ pair.target.grid.affine)
            yield Volume(pair.target.data, grid, HOUNSFIELD)
        if len(failures) == len(self.pairs):
            raise Refusal(problem for failure in failures for problem in failure.problems)


def _median_over(volumes: Sequence[Volume], grid: Grid) -> NDArray[Any]:
    """Return the voxelwise median of the volumes that reach a voxel, and air where none does."""
    stack = np.stack([resample(v.data, v.grid, grid, outside=np.nan) for v in volumes])
    reached = ~np.isnan(stack).all(axis=0)
    answer = np.full(grid.shape, AIR_HU, np.float32)
    answer[reached] = np.nanmedian(stack[:, reached], axis=0)
    return answer
