from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgen.conversion.sizing import least_work, sizes_near, sizes_over
from medgen.conversion.tiling import plan_tiling

HUGE = math.inf


def chosen(shape: tuple[int, ...], keep: Any = None, **changes: Any) -> tuple[int, int, int]:
    law = {"overlap": 4, "margin": 0, "divisor": 1, "least": 8, "most_voxels": HUGE, **changes}
    divisor, least = law.pop("divisor"), law.pop("least")
    sizes = [
        sizes_over(length, overlap=law["overlap"], divisor=divisor, least=least) for length in shape
    ]
    box = [slice(0, length) for length in shape]
    return least_work(shape, box, keep, sizes=sizes, phase=divisor, **law)


def work(shape: tuple[int, ...], window: tuple[int, ...], **law: int) -> int:
    overlap, margin, divisor = (law[name] for name in ("overlap", "margin", "divisor"))
    tiling = plan_tiling(shape, patch=window, overlap=overlap, margin=margin, divisor=divisor)
    return len(tiling) * math.prod(size + 2 * margin for size in tiling.window)


def test_with_memory_for_all_a_volume_is_one_window() -> None:
    assert chosen((50, 41, 33), divisor=8) == (56, 48, 40)


def test_a_short_axis_is_not_stretched_to_a_patch() -> None:
    assert chosen((50, 41, 5), divisor=4, least=8) == (52, 44, 8)


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(*[st.integers(10, 40)] * 3),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from([1, 2, 4]),
    st.integers(14**3, 40**3),
)
def test_no_window_that_fits_computes_less(
    shape: tuple[int, int, int], overlap: int, margin: int, divisor: int, most: int
) -> None:
    law = {"overlap": overlap, "margin": margin, "divisor": divisor}
    window = chosen(shape, most_voxels=most, **law)
    assert all(size % divisor == 0 for size in window)
    assert math.prod(size + 2 * margin for size in window) <= most
    least = max(8, 2 * overlap)
    each = [range(-(-least // divisor) * divisor, 41 + divisor, divisor)] * 3
    others = [
        other
        for other in itertools.product(*(list(sizes)[:: max(1, len(sizes) // 5)] for sizes in each))
        if math.prod(size + 2 * margin for size in other) <= most
    ]
    assert work(shape, window, **law) <= min(work(shape, other, **law) for other in others)


def test_windows_of_air_cost_nothing() -> None:
    """Two heads at the ends of a long volume: short windows leave out what is between them."""
    keep = np.zeros((200, 20, 20), dtype=np.bool_)
    keep[:20] = keep[-20:] = True
    assert chosen((200, 20, 20), overlap=0)[0] == 200
    assert chosen((200, 20, 20), keep, overlap=0)[0] < 30


def test_where_nothing_fits_the_smallest_is_chosen() -> None:
    window = chosen((40, 40, 40), most_voxels=1.0, overlap=0)
    assert window == (8, 8, 8)


@pytest.mark.parametrize("overlap", [0, 6, 14])
def test_the_overlap_is_had(overlap: int) -> None:
    window = chosen((90, 30, 30), overlap=overlap, least=30, most_voxels=40.0**3)
    axis = plan_tiling((90, 30, 30), patch=window, overlap=overlap).axes[0]
    assert len(axis.starts) > 1
    assert axis.size - max(np.diff(axis.starts)) >= overlap


def test_windows_near_a_patch_are_no_shorter_and_a_quarter_longer_at_most() -> None:
    assert sizes_near(64, most=1.25, divisor=8) == [64, 72, 80]
    assert sizes_near(48, most=1.25, divisor=16) == [48]
    assert sizes_near(50, most=1.25, divisor=8) == [56]
    assert sizes_near(20, most=1.25, divisor=64) == [64]
