"""The answer by intensity alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from medgen.baselines.pairs import HOUNSFIELD, Pair, no_voxels
from medgen.data import body_mask
from medgen.volumes import Volume, field_of_view, resample


@dataclass(frozen=True, eq=False)
class IntensityMedian:
    """Answer each voxel by its intensity alone: the median target of the bin it falls in.

    Intensities are scaled by their 0.5th and 99.5th percentile inside the volume's body, as the
    learned methods see them; the first and the last bin are open.
    """

    edges: NDArray[np.float64]
    """(bins - 1,) inner edges of the bins, of intensities scaled to [0, 1]."""
    medians: NDArray[np.float32]
    """(bins,) in the target's unit."""
    unit: str = HOUNSFIELD
    name: ClassVar[str] = "intensity_median"

    @classmethod
    def fit(
        cls, pairs: Iterable[Pair], *, bins: int = 128, voxels_per_case: int = 400_000
    ) -> IntensityMedian:
        """Take the target's median in each intensity bin, over the masks of all pairs.

        At most about `voxels_per_case` evenly spread voxels of a case are looked at. A bin that
        no voxel falls in gets the value between its neighbours'.

        Raises:
            ConfigurationError: E_BASELINE_EMPTY without a pair or a voxel.
            Refusal: E_EMPTY_BODY where a source shows no body.
        """
        edges = np.linspace(0.0, 1.0, bins - 1)
        kept = tuple(pairs)
        sampled = [_scaled_and_target(pair, voxels_per_case) for pair in kept]
        if not sum(len(scaled) for scaled, _ in sampled):
            raise no_voxels()
        scaled, targets = (np.concatenate(part) for part in zip(*sampled, strict=True))
        bin_of = np.searchsorted(edges, scaled)
        order = np.argsort(bin_of, kind="stable")
        starts = np.searchsorted(bin_of[order], np.arange(bins + 1))
        filled = np.flatnonzero(np.diff(starts))
        in_order = targets[order]
        medians = [np.median(in_order[starts[i] : starts[i + 1]]) for i in filled]
        every = np.interp(np.arange(bins), filled, medians).astype(np.float32)
        return cls(edges, every, kept[0].target.unit)

    def predict(self, source: Volume) -> Volume:
        """Answer on the source's own grid, in the target's unit.

        Raises:
            Refusal: E_EMPTY_BODY where the source shows no body.
        """
        bin_of = np.searchsorted(self.edges, _scaled(source))
        return Volume(self.medians[bin_of], source.grid, self.unit)


def _scaled(source: Volume) -> NDArray[np.float64]:
    """Scale a volume's own percentiles inside its body to 0 and 1."""
    body = body_mask(source.data, spacing_mm=source.grid.spacing_mm)
    low, high = np.percentile(source.data[body], [0.5, 99.5])
    span = max(float(high - low), np.finfo(np.float32).tiny)
    return np.asarray((source.data - low) / span, np.float64)


def _scaled_and_target(pair: Pair, largest: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return scaled intensities and targets of evenly spread voxels of the mask."""
    target = resample(pair.target.data, pair.target.grid, pair.source.grid)
    seen = pair.mask & field_of_view(pair.target.grid, pair.source.grid)
    every = max(1, -(-int(seen.sum()) // largest))
    return _scaled(pair.source)[seen][::every], target[seen][::every]
