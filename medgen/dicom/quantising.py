"""Values to 16-bit integers: HU as they are, PET by slopes of slices, MR by one for the series."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.dicom.decimals import decimal
from medgen.problems import Problem, Refusal

HU_INTERCEPT = -1024
_SMALLEST_SLOPE = 1e-37  # what single precision still holds in full
_SLOPES_ALIKE = 1e-6
_LOW, _HIGH = 0.5, 99.5  # percentiles that a window shows


@dataclass(frozen=True, eq=False)
class Stored:
    """Voxels as a file holds them: value = stored * slope + intercept, with its slice's slope."""

    values: NDArray[Any] = field(repr=False)
    """(X, Y, Z), int16 or uint16."""
    slopes: tuple[str, ...] = ()
    """One decimal string per slice; empty where values are stored as they are."""
    intercept: int = 0
    clipped: int = 0
    """Voxels that were beyond what can be stored."""
    window: tuple[float, float] = (0.0, 1.0)
    """The lowest and highest value that a viewer should tell apart at first."""

    def decoded(self, index: int) -> NDArray[np.float64]:
        """Return the values (X, Y) of a slice as a reader will have them."""
        slope = float(self.slopes[index]) if self.slopes else 1.0
        return np.asarray(self.values[:, :, index] * slope + self.intercept, dtype=np.float64)


def check_finite(data: NDArray[Any]) -> None:
    """Refuse NaN and infinite voxels, which no integer can stand for: E_NONFINITE."""
    bad = data.size - int(np.count_nonzero(np.isfinite(data)))
    if bad:
        message = f"{bad} of {data.size} voxels to be written are NaN or infinite"
        advice = "nothing was written; mend what computed them"
        raise Refusal(Problem("E_NONFINITE", message, advice))


def store_hu(data: NDArray[Any]) -> Stored:
    """Round HU to whole numbers from -1024 to 64511 (PS3.3 C.8.2.1): slope 1, intercept -1024."""
    rounded = np.rint(data) - HU_INTERCEPT
    bounds = np.iinfo(np.uint16)
    clipped = int(np.count_nonzero((rounded < bounds.min) | (rounded > bounds.max)))
    values = np.clip(rounded, bounds.min, bounds.max).astype(np.uint16)
    slopes = ("1",) * values.shape[2]
    return Stored(values, slopes, HU_INTERCEPT, clipped, (-160.0, 240.0))


def store_activity(data: NDArray[Any]) -> Stored:
    """Scale each slice to the full range of int16 (PS3.3 C.8.9.4.1.3): exact to 1.6e-5 of its peak.

    Negative values, which reconstructions have too, are kept. Slopes within 1e-6 of the first, as
    those of SUVs may be, become one: dcm2niix 1.0.20260724 takes slopes about 1e-7 apart for equal
    and reads all slices by the first one's, 3e-4 of the peak off in a series of 135 slices.
    """
    planes = np.abs(data).max(axis=(0, 1)).astype(np.float64)
    largest = np.iinfo(np.int16).max
    slopes = [_slope(float(peak), largest) for peak in planes]
    numbers = np.array([float(slope) for slope in slopes])
    if np.abs(numbers - numbers[0]).max() <= _SLOPES_ALIKE:
        slopes = [_slope(float(planes.max()), largest)] * len(slopes)
    values = np.empty(data.shape, dtype=np.int16)
    for index, slope in enumerate(slopes):
        values[:, :, index] = np.rint(np.asarray(data[:, :, index], np.float64) / float(slope))
    return Stored(values, tuple(slopes), window=(0.0, float(np.percentile(data, _HIGH))))


def store_arbitrary(data: NDArray[Any]) -> Stored:
    """Store whole numbers of 16 bits as they are, others by one slope for the whole series.

    Classic MR images have no rescaling of their own (PS3.3 A.4.3), yet vendors write it and
    viewers, dcm2niix and ITK heed it; an object may be extended by attributes of the standard
    (PS3.4 B.4.1). Without negative values 16 bits are unsigned: exact to 8e-6 of the peak.
    """
    low, high = float(data.min()), float(data.max())
    window = (float(np.percentile(data, _LOW)), float(np.percentile(data, _HIGH)))
    signed, unsigned = np.iinfo(np.int16), np.iinfo(np.uint16)
    kind = np.dtype(np.int16 if low < 0 else np.uint16)
    fits = signed.min <= low and high <= (signed.max if low < 0 else unsigned.max)
    if fits and (data.dtype.kind in "iu" or bool(np.array_equal(np.rint(data), data))):
        return Stored(data.astype(kind), window=window)
    slope = _slope(max(-low, high), np.iinfo(kind).max)
    values = np.empty(data.shape, dtype=kind)
    for index in range(data.shape[2]):
        values[:, :, index] = np.rint(np.asarray(data[:, :, index], np.float64) / float(slope))
    return Stored(values, (slope,) * data.shape[2], window=window)


def _slope(peak: float, largest: int) -> str:
    """Return the slope that stores `peak` as `largest`, as the decimal string to be divided by."""
    if peak == 0:
        return "1"
    # A hair too large rather than too small: the string is rounded, and nothing may overflow.
    return decimal(max(peak / largest * (1 + 1e-9), _SMALLEST_SLOPE))
