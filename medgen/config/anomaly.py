"""What conversion makes of a residual: which side counts, how it is cleaned, what is unusual."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from medgen.config.values import Fraction, Number, Strict, Whole

CaseScore = Literal["map_top", "map_mean", "window_max", "window_mean"]
CASE_SCORES: tuple[CaseScore, ...] = ("map_top", "map_mean", "window_max", "window_mean")


class AnomalyConfig(Strict):
    """The block `convert.anomaly`; every step but the score's name is of Baur et al., MIA 2021."""

    column: str | None = None
    """The source column whose residual is the map; the first where left out."""
    direction: Literal["both", "positive", "negative"] = "both"
    """Which residuals count: brighter than expected, darker, or both by their size."""
    median_voxels: Whole = 0
    """The edge of the median filter on the signed residual, odd, in voxels of the run's grid; 0
    filters nothing."""
    erode_mm: Annotated[Number, Field(ge=0.0)] = 0.0
    """How much of the body's rim counts for nothing."""
    brighter_than: Fraction = 0.0
    """Only voxels whose source lies above this quantile of the body count: a prior for lesions that
    are known to be bright. 0 counts all."""
    minimum_ml: Annotated[Number, Field(ge=0.0)] = 0.0
    """Connected parts of the mask below this volume are dropped."""
    score: CaseScore = "map_top"
    """The number that stands for a case: the mean of the largest hundredth of the map, its mean,
    or the largest or the mean score of the windows."""
    case_false_positives: Annotated[Number, Field(gt=0.0, lt=1.0)] | None = None
    """Share of healthy cases that may be called unusual; left out, no case is called anything."""
    voxel_false_positives: Annotated[Number, Field(gt=0.0, lt=1.0)] = 0.001
    """Share of healthy cases' voxels, pooled, that the mask may hold."""

    @model_validator(mode="after")
    def _odd_filter(self) -> AnomalyConfig:
        if self.median_voxels % 2 == 0 and self.median_voxels:
            raise ValueError(f"median_voxels: {self.median_voxels} is even; take an odd edge, or 0")
        return self
