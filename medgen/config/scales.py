"""The five ways in which a column's values become numbers in [-1, 1]."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from medgen.config.values import Number, Percentile, Strict


class Bounds(Strict):
    """Two ends of a range, in order."""

    low: Number
    high: Number

    @model_validator(mode="after")
    def _low_below_high(self) -> Bounds:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        return self


class WindowScale(Bounds):
    """A fixed range in a physical unit; values beyond it are clipped and counted."""

    scale: Literal["window"]
    unit: str
    background: Number | None = None
    """What the answer holds where nothing was computed; the low end where left out."""


class PercentileScale(Bounds):
    """Percentiles measured on each volume inside the body; for sources only."""

    scale: Literal["percentile"]
    low: Percentile = 0.5
    high: Percentile = 99.5
    unit: Annotated[str, Field(min_length=1)] | None = None
    """What the files measure, where that is physical (SUV, Bq/ml): NIfTI names no unit. DICOM PET
    comes in it, or is refused; without one it keeps its own."""


class ZScoreScale(Strict):
    """Mean and standard deviation of each volume inside the body; for sources only."""

    scale: Literal["z_score"]
    deviations: Annotated[Number, Field(gt=0.0)] = 3.0
    """Standard deviations from the mean to either end of [-1, 1]. Three hold 99.7 % of a normal
    distribution, about what the percentile scale's defaults keep; 1 gives plain z-scores."""
    unit: Annotated[str, Field(min_length=1)] | None = None
    """As of the percentile scale."""


class CohortScale(Bounds):
    """Median percentiles of the training cases, kept in the run; unit arbitrary."""

    scale: Literal["cohort"]
    low: Percentile = 0.5
    high: Percentile = 99.5


class SharedScale(Strict):
    """The scale of another column of the same case: PET by its low-dose source."""

    scale: Literal["shared"]
    column: str = Field(alias="with")


OwnScale = PercentileScale | ZScoreScale
"""What is measured on each volume by itself: an answer, which is nobody's volume, has none."""

Scale = Annotated[
    WindowScale | PercentileScale | ZScoreScale | CohortScale | SharedScale,
    Field(discriminator="scale"),
]
