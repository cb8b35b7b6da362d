"""Whether a volume carries a grid: a peak of its spectrum where no anatomy has one."""

from __future__ import annotations

import math

import numpy as np

from medgen.metrics.masked import Array, Floats
from medgen.problems import Problem, Refusal

LEAST_PERIODS = 8
"""Periods that a line must hold, so that the frequencies beside the grid's are told from it."""

LOBE = 2
"""Frequencies from a peak on that it no longer leaks into through the Hann window."""

NEIGHBOURS = 4
"""Frequencies on each side whose power a peak is compared with."""


def grid_energy(volume: Array, period: int) -> float:
    """Return the power of a grid of `period` voxels over that of the frequencies beside it.

    A volume (X, Y, Z) in any unit. Along each axis every line, less its mean and through a Hann
    window, gives a power spectrum; the spectra of all parallel lines are averaged. The power at one
    cycle in `period` voxels is divided by the geometric mean of that at the four frequencies next
    to its peak on each side (for a period of two, which is the highest frequency, on its only
    side), and the quotients of the three axes are averaged. 1 or less: no peak, since a spectrum
    that falls is at each place about the geometric mean of its neighbours, or hollow. Transposed
    convolutions leave peaks at the periods of their strides (Odena et al., Deconvolution and
    checkerboard artifacts, Distill 2016). NaN where a volume has no power beside the grid's, as a
    constant one.

    Raises:
        Refusal: E_METRIC_SHAPE, an axis is too short; E_METRIC_NONFINITE.
        ValueError: the period is less than two voxels.
    """
    if period < 2:
        raise ValueError(f"a grid repeats after two voxels at least, not {period}")
    values = _checked(volume, period)
    return float(np.mean([_peak(np.moveaxis(values, axis, -1), period) for axis in range(3)]))


def _checked(volume: Array, period: int) -> Floats:
    values = np.asarray(volume, dtype=np.float64)
    least = LEAST_PERIODS * period
    problem = None
    if values.ndim != 3 or min(values.shape) < least:
        size = " x ".join(map(str, values.shape))
        message = f"the volume has {size} voxels; a grid of {period} needs {least} along each axis"
        problem = Problem("E_METRIC_SHAPE", message, "measure a larger volume")
    elif not np.isfinite(values).all():
        bad = int(values.size - np.count_nonzero(np.isfinite(values)))
        message = f"the volume holds {bad} NaN or infinite voxels"
        problem = Problem("E_METRIC_NONFINITE", message, "find out where they come from")
    if problem is not None:
        raise Refusal(problem)
    return values


def _peak(lines: Floats, period: int) -> float:
    """Return the quotient along the last axis."""
    count = lines.shape[-1] // period * period  # so that the grid's frequency is one of the FFT's
    lines = lines[..., :count]
    window = np.hanning(count + 1)[:-1]
    spectra = np.fft.rfft((lines - lines.mean(axis=-1, keepdims=True)) * window)
    power = np.square(np.abs(spectra)).reshape(-1, spectra.shape[-1]).mean(axis=0)
    place = count // period
    offsets = range(LOBE, LOBE + NEIGHBOURS)
    beside = [place + sign * k for k in offsets for sign in (-1, 1)]
    # The two lowest frequencies hold what the window leaks of the mean; none is past the highest.
    neighbours = power[[k for k in beside if LOBE <= k < power.size]]
    if not neighbours.min() > 0:
        return math.nan
    return float(power[place] / np.exp(np.log(neighbours).mean()))
