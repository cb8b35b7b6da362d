"""A grid is found where there is one and nowhere else, at the power that scipy sees."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, signal

from medgen.metrics import grid_energy
from medgen.problems import Refusal

SHAPE = (48, 40, 44)


def noise(seed: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def tissue(seed: int) -> np.ndarray:
    """Return blobs with edges: a spectrum that falls steeply, as that of anatomy."""
    rough = ndimage.gaussian_filter(noise(seed), 2.0)
    return np.where(rough > 0, 40.0, -100.0) + 5 * noise(seed + 1)


def grid(period: int, axis: int = 0) -> np.ndarray:
    """Return every period-th sheet of ones."""
    return np.asarray(np.indices(SHAPE)[axis] % period == 0, dtype=float)


@pytest.mark.parametrize("period", [2, 3, 4])
def test_noise_and_tissue_have_no_peak(period: int) -> None:
    assert grid_energy(noise(0), period) == pytest.approx(1, abs=0.05)
    assert grid_energy(tissue(1), period) == pytest.approx(0.9, abs=0.15)


@pytest.mark.parametrize("period", [2, 4])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_faint_grid_along_any_axis_is_a_peak_of_its_period(period: int, axis: int) -> None:
    """Its sheets stand out of the noise by no more than the noise's deviation."""
    volume = noise(2) + grid(period, axis)
    assert grid_energy(volume, period) > 1.4
    assert grid_energy(volume, 3) == pytest.approx(1, abs=0.15)


def test_a_grid_of_four_has_a_peak_at_two_as_well_and_not_the_reverse() -> None:
    """A sheet in four has the frequencies 1/4 and 2/4; one in two has 1/2 alone."""
    assert grid_energy(noise(3) + grid(4), 2) > 1.4
    assert grid_energy(noise(3) + grid(2), 4) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("period", [2, 4])
def test_it_equals_the_periodogram_of_scipy(period: int) -> None:
    volume = noise(4) + 0.2 * grid(period, 1)
    expected = []
    for axis, length in enumerate(SHAPE):
        # Without its two sides, which scipy doubles but for the highest frequency.
        frequencies, power = signal.periodogram(
            volume + 0j, window="hann", detrend="constant", axis=axis, return_onesided=False
        )
        line = np.moveaxis(power, axis, -1).reshape(-1, length).mean(axis=0)
        near = [k for k in range(length // 2 + 1) if 2 <= abs(k - length // period) <= 5]
        expected.append(line[length // period] / math.exp(np.log(line[near]).mean()))
        assert frequencies[length // period] in (1 / period, -1 / period)
    assert grid_energy(volume, period) == pytest.approx(np.mean(expected))


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.01, 1e4), shift=st.floats(-1e3, 1e3), seed=st.integers(0, 100))
def test_units_and_levels_do_not_matter(scale: float, shift: float, seed: int) -> None:
    volume = noise(seed, (16, 18, 20)) + 0.3
    score = grid_energy(volume, 2)
    assert grid_energy(scale * volume + shift, 2) == pytest.approx(score, rel=1e-4)
    assert grid_energy(volume.transpose(2, 0, 1), 2) == pytest.approx(score)


def test_a_length_that_no_period_divides_loses_its_end() -> None:
    volume = noise(5, (35, 34, 33)) + np.indices((35, 34, 33))[0] % 4
    assert grid_energy(volume, 4) == pytest.approx(grid_energy(volume[:32], 4), rel=0.2)
    assert grid_energy(volume, 4) > 3


def test_a_constant_volume_has_no_score() -> None:
    assert math.isnan(grid_energy(np.full((16, 16, 16), 7.0), 2))


@pytest.mark.parametrize(
    ("volume", "code"),
    [
        (np.zeros((16, 15, 16)), "E_METRIC_SHAPE"),
        (np.zeros((16, 16)), "E_METRIC_SHAPE"),
        (np.full((16, 16, 16), np.nan), "E_METRIC_NONFINITE"),
    ],
)
def test_refusals(volume: Any, code: str) -> None:
    with pytest.raises(Refusal, match=code):
        grid_energy(volume, 2)
    with pytest.raises(ValueError, match="two voxels"):
        grid_energy(volume, 1)
