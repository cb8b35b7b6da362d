from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.conversion.tiling import Axis, plan_tiling
from medgen.problems import ConfigurationError

lengths = st.integers(1, 150)
divisors = st.sampled_from([1, 2, 4, 8, 16])


@given(lengths, st.integers(4, 80), st.integers(0, 40), divisors, st.booleans())
def test_windows_obey_their_laws(
    length: int, patch: int, overlap: int, divisor: int, anywhere: bool
) -> None:
    tiling = plan_tiling(
        [length] * 3,
        patch=[patch] * 3,
        overlap=overlap,
        divisor=divisor,
        phase=1 if anywhere else None,
    )
    axis, phase = tiling.axes[0], 1 if anywhere else divisor
    assert axis.size == math.ceil(patch / divisor) * divisor
    assert all(start % phase == 0 for start in axis.starts)
    assert 0 <= axis.before <= axis.padded - length
    gaps = np.diff(axis.starts)
    assert (gaps > 0).all()
    if len(gaps):
        assert gaps.max() - gaps.min() <= phase, "evenly spread"
        least = min(overlap, axis.size // 2)
        assert axis.size - gaps.max() >= least or gaps.max() == phase
        assert axis.padded - length < phase, "a tiled axis is padded to the phase only"


def test_a_window_as_short_as_its_divisor_overlaps_others() -> None:
    axis = plan_tiling((96,) * 3, patch=(64,) * 3, overlap=16, divisor=64, phase=1).axes[0]
    assert axis == Axis(length=96, before=0, size=64, starts=(0, 32))
    alone = plan_tiling((96,) * 3, patch=(64,) * 3, overlap=16, divisor=64).axes[0]
    assert alone.starts == (0, 64), "which is what the phase is for"


def test_no_window_is_redundant() -> None:
    axes = plan_tiling((112, 113, 300), patch=(64, 64, 64), divisor=8).axes
    assert axes[0] == Axis(length=112, before=0, size=64, starts=(0, 48))
    assert axes[1] == Axis(length=113, before=3, size=64, starts=(0, 24, 56))
    assert axes[2] == Axis(length=300, before=2, size=64, starts=(0, 48, 96, 144, 192, 240))


def test_a_small_volume_is_padded_to_the_training_patch() -> None:
    tiling = plan_tiling((41, 9, 64), patch=(64, 60, 64), divisor=8)
    assert tiling.window == (64, 64, 64)
    assert len(tiling) == 1
    assert tiling.axes[0].before == 11


def test_an_explicit_window_is_rounded_to_the_divisor() -> None:
    tiling = plan_tiling((100, 100, 100), patch=(64, 64, 64), window=(30, 32, 128), divisor=8)
    assert tiling.window == (32, 32, 128)


def test_a_fixed_window_counts_its_margin() -> None:
    tiling = plan_tiling((60, 60, 60), patch=(8, 8, 8), fixed=(40, 40, 40), margin=4, divisor=8)
    assert tiling.window == (32, 32, 32)


@pytest.mark.parametrize(
    ("fixed", "window", "divisor"),
    [((40, 40, 40), "auto", 3), ((8, 8, 8), "auto", 1), ((40, 40, 40), (30, 32, 32), 1)],
)
def test_impossible_fixed_windows_are_refused(
    fixed: tuple[int, ...], window: tuple[int, ...] | str, divisor: int
) -> None:
    with pytest.raises(ConfigurationError, match="E_WINDOW"):
        plan_tiling(
            (60,) * 3, patch=(8,) * 3, fixed=fixed, window=window, margin=4, divisor=divisor
        )
