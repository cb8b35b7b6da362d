"""Intensity: how physical values become numbers in [-1, 1], and how answers come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from medgen.config import (
    CohortScale,
    OwnScale,
    PercentileScale,
    Scale,
    SharedScale,
    WindowScale,
    ZScoreScale,
)
from medgen.problems import Problem, Refusal

Values = TypeVar("Values")
"""A NumPy array or a torch tensor."""

ARBITRARY = "arbitrary"
"""The unit of a scale that no physics fixes."""

_PIECE = 1 << 16

LOWEST_PERCENTILE = 0.5
"""Where a volume's values begin: the percentile inside the body that tells what its air is."""


@dataclass(frozen=True)
class Codec:
    """A line through (low, -1) and (high, 1); `clip` ends it there, else it goes on."""

    low: float
    high: float
    clip: bool
    unit: str
    background: float
    """The physical value of an answer where nothing was computed."""

    @property
    def gain(self) -> float:
        """Return the physical size of one encoded unit."""
        return (self.high - self.low) / 2.0

    def encode(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return physical values as encoded ones, float32; a window clips to [-1, 1]."""
        physical = np.asarray(values)
        encoded = np.empty(physical.size, dtype=np.float32)
        # In double precision, but a piece at a time, which stays in the processor's cache.
        flat = physical.reshape(-1)
        for start in range(0, flat.size, _PIECE):
            piece = flat[start : start + _PIECE].astype(np.float64)
            piece -= self.low
            piece /= self.gain
            piece -= 1.0
            encoded[start : start + _PIECE] = piece
        if self.clip:
            np.clip(encoded, -1.0, 1.0, out=encoded)
        return encoded.reshape(physical.shape)

    def decode(self, values: Values) -> Values:
        """Return encoded values, an array or a tensor, as physical ones."""
        encoded: Any = values
        decoded: Values = (encoded + 1.0) * self.gain + self.low
        return decoded

    def clipped(self, values: NDArray[Any]) -> int:
        """Return how many values lie beyond a clipping window; 0 for every other scale."""
        if not self.clip:
            return 0
        return int(np.count_nonzero((values < self.low) | (values > self.high)))

    def as_json(self) -> dict[str, Any]:
        """Return the codec as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Codec:
        """Return the codec that `as_json` wrote."""
        return cls(
            low=float(value["low"]),
            high=float(value["high"]),
            clip=bool(value["clip"]),
            unit=str(value["unit"]),
            background=float(value["background"]),
        )


def unit_of(scale: Scale) -> str:
    """Return the unit that a scale promises."""
    if isinstance(scale, WindowScale | OwnScale):
        return scale.unit or ARBITRARY
    return ARBITRARY


def percentiles(
    scale: PercentileScale | CohortScale, values: NDArray[Any], body: NDArray[np.bool_]
) -> tuple[float, float]:
    """Return the low and high percentiles of the values inside the body.

    Raises:
        Refusal: E_FLAT_INTENSITY where the two are equal, so that nothing can be told apart.
    """
    low, high = np.percentile(values[body], [scale.low, scale.high]) if body.any() else (0.0, 0.0)
    if not high > low:
        message = f"percentiles {scale.low:g} and {scale.high:g} inside the body are both {low:g}"
        advice = "check that the volume is not blank, or widen the percentiles"
        raise Refusal(Problem("E_FLAT_INTENSITY", message, advice))
    return float(low), float(high)


def spread(
    scale: ZScoreScale, values: NDArray[Any], body: NDArray[np.bool_]
) -> tuple[float, float]:
    """Return the mean less, and plus, so many standard deviations of the values inside the body.

    Raises:
        Refusal: E_FLAT_INTENSITY where the values are all equal, so that nothing can be told apart.
    """
    inside = np.asarray(values[body], dtype=np.float64)
    # Rounding lets the deviation of equal values differ from 0, but never their two extremes.
    flat = not inside.size or inside.min() == inside.max()
    mean, reach = (0.0, 0.0) if flat else (inside.mean(), scale.deviations * inside.std())
    low, high = float(mean - reach), float(mean + reach)
    if not high > low:
        message = "the standard deviation of the values inside the body is 0"
        raise Refusal(Problem("E_FLAT_INTENSITY", message, "check that the volume is not blank"))
    return low, high


def fit_cohort(
    scale: CohortScale | PercentileScale, ranges: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """Return the medians of the training cases' percentiles: the cohort's own low and high."""
    if not ranges:
        message = f"no training case gave percentiles {scale.low:g} and {scale.high:g}"
        raise Refusal(Problem("E_COHORT_EMPTY", message, "check the training cases of the column"))
    low, high = np.median(np.asarray(ranges, dtype=np.float64), axis=0)
    return float(low), float(high)


def measure(
    scale: Scale,
    values: NDArray[Any],
    body: NDArray[np.bool_],
    *,
    unit: str = ARBITRARY,
    cohort: tuple[float, float] | None = None,
    shared: Codec | None = None,
) -> Codec:
    """Return the codec of one volume (X, Y, Z) in physical units, by one of five scales.

    `window` is fixed and clips. `percentile` and `z_score` are measured inside the body, in the
    unit that they name or else the volume's own `unit`; `cohort` was fitted on the training cases;
    `shared` is another column's codec. These four go on beyond their ends.

    Raises:
        Refusal: E_FLAT_INTENSITY where the values inside the body cannot be told apart.
    """
    if isinstance(scale, WindowScale):
        background = scale.low if scale.background is None else scale.background
        return Codec(scale.low, scale.high, True, scale.unit, background)
    if isinstance(scale, SharedScale):
        if shared is None:
            raise ValueError(f"the scale shared with {scale.column!r} was not given")
        return shared
    if isinstance(scale, CohortScale):
        if cohort is None:
            raise ValueError("the cohort scale was not fitted")
        return fitted_codec(scale, cohort)
    if isinstance(scale, ZScoreScale):
        low, high = spread(scale, values, body)
        lowest = float(np.percentile(values[body], LOWEST_PERCENTILE))
        return Codec(low, high, False, scale.unit or unit, _air(lowest))
    low, high = percentiles(scale, values, body)
    return Codec(low, high, False, scale.unit or unit, _air(low))


def fitted_codec(scale: CohortScale | PercentileScale, ends: tuple[float, float]) -> Codec:
    """Return the codec of an answer by the training cases' median percentiles.

    A percentile scale is measured on each volume, and an answer has no volume to measure.
    """
    low, high = ends
    return Codec(low, high, False, unit_of(scale), _air(low))


def _air(low: float) -> float:
    """Return what air holds, by a low percentile of the body: nothing, as in MR and PET.

    The body's own low percentile is far from it in PET. Where even that is negative, as in images
    that somebody has normalised, it is the best guess there is.
    """
    return min(0.0, low)
