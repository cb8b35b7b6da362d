"""What healthy cases of a run look like to it: their scores, their residuals, and what is unusual.

A calibration is measured on cases that no step of training saw, once the weights stand. It promises
shares of *healthy* cases and voxels only; how many lesions are found is another question.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medgen.problems import ConfigurationError, Problem, Refusal

Floats = NDArray[np.floating[Any]]
Direction = Literal["both", "positive", "negative"]

VOXELS_PER_CASE = 200_000
"""Voxels of one case that are pooled at most: a large head must not outvote the others."""

SHARES = tuple(mantissa / 10**power for power in (7, 6, 5, 4, 3, 2) for mantissa in range(10, 100))
"""The false-positive shares whose voxel thresholds are kept, 1e-6 to 0.99 in two digits."""

_ROUNDING = 1e-9
"""What a product of two shares may be below a whole number and still mean it."""

_ONE_SIGMA = (15.8655, 84.1345)
"""Percentiles of a normal distribution one standard deviation from its mean."""


@dataclass(frozen=True)
class Calibration:
    """The scores and the residuals of healthy cases that training did not see; it names none."""

    patients: int
    scores: Mapping[str, tuple[float, ...]]
    """The case scores by name, each sorted, the lowest first."""
    location: float
    """Median of the residuals, pooled over cases, in encoded units."""
    scale: float
    """Half the distance of their percentiles 15.87 and 84.13: the standard deviation, if normal."""
    voxels: int
    """How many residuals were pooled."""
    upper: tuple[tuple[float, float], ...]
    """Share of the pooled voxels, rising, and the z-score, by its direction, that it exceeds."""
    weights_digest: str
    """SHA-256 of the weights that answered."""
    settings_digest: str
    """SHA-256 of the settings that decided residuals and scores."""

    @property
    def cases(self) -> int:
        """Return how many healthy cases were measured."""
        return len(next(iter(self.scores.values())))

    def z(self, residual: Floats) -> NDArray[np.float32]:
        """Return residuals, in encoded units, as signed multiples of the healthy spread."""
        return _standardised(residual, self.location, self.scale)

    def p_value(self, name: str, score: float) -> float:
        """Return (1 + #{s_i >= score}) / (n + 1), the share of healthy cases scored as high.

        Where the case is healthy and exchangeable with the calibration's, P(p <= a) <= a for every
        a, whatever the scores' distribution (Vovk et al., Algorithmic Learning in a Random World,
        2005, conformal p-values). Raises ValueError where the score is not finite.
        """
        return (1 + self._as_high(name, score)) / (self.cases + 1)

    def case_threshold(self, name: str, rate: float) -> float:
        """Return the score above which a case is unusual, its p at most `rate`.

        Raises:
            ConfigurationError: E_CALIBRATION_RATE, the rate is finer than 1 / (cases + 1).
        """
        check_case_rate(rate, self.cases)
        return self.scores[name][-_exceeding(rate, self.cases)]

    def voxel_threshold(self, rate: float) -> float:
        """Return the z-score, by its direction, that at most `rate` of healthy voxels exceed.

        Kept for `SHARES`; another rate has the threshold of the next finer one.

        Raises:
            ConfigurationError: E_CALIBRATION_RATE, the rate is finer than 1 / (voxels + 1).
        """
        check_voxel_rate(rate, self.voxels)
        shares = [share for share, _ in self.upper]
        return self.upper[max(0, bisect.bisect_right(shares, rate * (1 + _ROUNDING)) - 1)][1]

    def _as_high(self, name: str, score: float) -> int:
        if not math.isfinite(score):
            raise ValueError(f"the score {name} is {score}")
        known = self.scores[name]
        return len(known) - bisect.bisect_left(known, score)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "cases": self.cases,
            "patients": self.patients,
            "scores": {name: list(scores) for name, scores in self.scores.items()},
            "location": self.location,
            "scale": self.scale,
            "voxels": self.voxels,
            "upper": [list(pair) for pair in self.upper],
            "weights_sha256": self.weights_digest,
            "settings_sha256": self.settings_digest,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Calibration:
        """Read what `as_json` wrote; KeyError, TypeError or ValueError where it did not."""
        scores = {
            name: tuple(sorted(float(score) for score in scores))
            for name, scores in value["scores"].items()
        }
        counts = {len(each) for each in scores.values()}
        if counts != {int(value["cases"])} or 0 in counts or not float(value["scale"]) > 0:
            raise ValueError("the calibration contradicts itself")
        upper = tuple((float(share), float(z)) for share, z in value["upper"])
        numbers = [*upper, *scores.values(), (float(value["location"]), float(value["scale"]))]
        if not upper or not all(math.isfinite(each) for each in _flat(numbers)):
            raise ValueError("the calibration lacks numbers")
        return cls(
            patients=int(value["patients"]),
            scores=scores,
            location=float(value["location"]),
            scale=float(value["scale"]),
            voxels=int(value["voxels"]),
            upper=tuple(sorted(upper)),
            weights_digest=str(value["weights_sha256"]),
            settings_digest=str(value["settings_sha256"]),
        )


def fit_calibration(
    residuals: Sequence[Floats],
    scores: Sequence[Mapping[str, float]],
    *,
    direction: Direction,
    patients: int,
    weights_digest: str,
    settings_digest: str,
) -> Calibration:
    """Measure healthy cases.

    Args:
        residuals: of each case, the signed residuals of the voxels that count, in encoded units,
            as `picked` returns them.
        scores: the scores of each case, by the same names, the higher the less usual.
        direction: which residuals count; the voxel thresholds are for `oriented` z-scores.
        patients: how many patients the cases are of.
        weights_digest: SHA-256 of the weights that answered.
        settings_digest: SHA-256 of the settings that decided residuals and scores.

    Raises:
        Refusal: E_CALIBRATION_FLAT, the residuals do not vary; E_CALIBRATION_NONFINITE.
    """
    pooled = np.concatenate([np.asarray(each, np.float64).ravel() for each in residuals])
    names = dict.fromkeys(name for each in scores for name in each)
    by_name = {name: tuple(sorted(float(each[name]) for each in scores)) for name in names}
    if not (np.isfinite(pooled).all() and all(map(math.isfinite, _flat([*by_name.values()])))):
        message = "residuals or scores of the calibration cases are not finite"
        raise Refusal(
            Problem("E_CALIBRATION_NONFINITE", message, "lower the learning rates and train anew")
        )
    low, high = np.percentile(pooled, _ONE_SIGMA) if pooled.size else (0.0, 0.0)
    location, scale = float(np.median(pooled)) if pooled.size else 0.0, float(high - low) / 2
    if not scale > 0:
        message = f"the residuals of {pooled.size} voxels of calibration cases do not vary"
        advice = "look at the previews: the model may have learned nothing"
        raise Refusal(Problem("E_CALIBRATION_FLAT", message, advice))
    return Calibration(
        patients=patients,
        scores=by_name,
        location=location,
        scale=scale,
        voxels=pooled.size,
        upper=_upper(oriented(_standardised(pooled, location, scale), direction)),
        weights_digest=weights_digest,
        settings_digest=settings_digest,
    )


def picked(values: Floats, limit: int = VOXELS_PER_CASE) -> Floats:
    """Return at most `limit` of the values, evenly spaced in their order and the same each time."""
    flat = np.asarray(values).ravel()
    if flat.size <= limit:
        return flat
    return flat[np.arange(limit) * flat.size // limit]


def oriented(values: Floats, direction: Direction) -> Floats:
    """Return signed values so that the higher, the less usual: sizes, or one side's depth."""
    if direction == "both":
        return np.abs(values)
    return values if direction == "positive" else -values


def check_case_rate(rate: float, cases: int) -> None:
    """Refuse a share of healthy cases that is finer than the calibration cases can tell.

    Raises:
        ConfigurationError: E_CALIBRATION_RATE, naming both shares and the cases that are needed.
    """
    if _exceeding(rate, cases):
        return
    finest, needed = 1 / (cases + 1), math.ceil(1 / rate - _ROUNDING) - 1
    message = (
        f"convert.anomaly.case_false_positives is {rate:g}, and {cases} healthy calibration cases "
        f"tell no share below {finest:.3g}"
    )
    advice = f"calibrate on {needed} cases or more (split.calibrate), "
    advice += (
        f"set it to {_rounded_up(finest)} or above, or leave it out" if cases else "or leave it out"
    )
    raise ConfigurationError(Problem("E_CALIBRATION_RATE", message, advice))


def check_voxel_rate(rate: float, voxels: int) -> None:
    """Refuse a share of healthy voxels that is finer than the pooled voxels can tell.

    Raises:
        ConfigurationError: E_CALIBRATION_RATE, naming both shares and the voxels that are needed.
    """
    finest = next((share for share in SHARES if _exceeding(share, voxels)), 1.0)
    if rate * (1 + _ROUNDING) >= finest:
        return
    needed = max(math.ceil(1 / max(rate, SHARES[0]) - _ROUNDING) - 1, voxels + 1)
    message = (
        f"convert.anomaly.voxel_false_positives is {rate:g}, and {voxels} voxels of healthy "
        f"calibration cases tell no share below {finest:g}"
    )
    advice = f"set it to {finest:g} or above"
    if rate >= SHARES[0]:
        advice = f"calibrate on {needed} voxels or more, or {advice}"
    raise ConfigurationError(Problem("E_CALIBRATION_RATE", message, advice))


def _standardised(residual: Floats, location: float, scale: float) -> NDArray[np.float32]:
    """Return z-scores, rounded alike wherever they are measured.

    Else many equal residuals, which a threshold stands at, could come to lie above it.
    """
    return np.asarray((np.asarray(residual, np.float32) - location) / scale, np.float32)


def _upper(values: Floats) -> tuple[tuple[float, float], ...]:
    """Return the value that each of the shares exceeds, for the shares that there are enough of."""
    descending = np.sort(values)[::-1]
    found = ((share, _exceeding(share, descending.size)) for share in SHARES)
    return tuple((share, float(descending[count - 1])) for share, count in found if count)


def _exceeding(rate: float, count: int) -> int:
    """Return k = floor(rate (n + 1)): above the k-th largest of n, at most k - 1 of them lie."""
    return min(math.floor(rate * (count + 1) * (1 + _ROUNDING)), count)


def _rounded_up(share: float) -> str:
    """Return a share in three digits that is not below it."""
    digits = 2 - math.floor(math.log10(share))
    return f"{math.ceil(share * 10**digits) / 10**digits:g}"


def _flat(groups: Sequence[Sequence[float]]) -> list[float]:
    return [value for group in groups for value in group]
