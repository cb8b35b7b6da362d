from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import measure

from medgen.conversion.parts import find_parts
from medgen.metrics.lesions import detect


def random_region(seed: int, share: float) -> np.ndarray:
    return np.random.default_rng(seed).random((9, 8, 7)) < share


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.02, 0.1, 0.3, 1.0]))
def test_parts_are_those_of_scikit_image_and_of_the_metric(seed: int, share: float) -> None:
    region = random_region(seed, share)
    parts = find_parts(region)
    expected = measure.label(region, connectivity=3)
    assert parts.count == expected.max() == detect(region, region).reference
    assert np.array_equal(parts.numbers, expected[parts.box])
    assert np.array_equal(parts.sizes[1:], np.bincount(expected.ravel())[1:])


def test_voxels_that_touch_by_a_corner_are_one_part() -> None:
    region = np.zeros((4, 4, 4), bool)
    region[1, 1, 1] = region[2, 2, 2] = True
    assert find_parts(region).count == 1
    region[2, 2, 2], region[3, 3, 3] = False, True
    assert find_parts(region).count == 2


def strays(largest_only: bool, minimum_ml: float, voxel_ml: float = 0.001) -> list[bool]:
    """Judge parts of 3, 20 and 19 voxels."""
    region = np.zeros((30, 1, 7), bool)
    region[:3, 0, 1] = region[:20, 0, 3] = region[:19, 0, 5] = True
    parts = find_parts(region)
    assert parts.sizes.tolist() == [0, 3, 20, 19]
    found = parts.strays(largest_only=largest_only, minimum_ml=minimum_ml, voxel_ml=voxel_ml)
    return [bool(one) for one in found]


def test_parts_strictly_smaller_than_the_least_volume_go() -> None:
    assert strays(False, 0.02) == [False, True, False, True]
    assert strays(False, 0.019) == [False, True, False, False]
    assert strays(False, 0.0) == [False] * 4


@pytest.mark.parametrize("off", [1 - 3e-7, 1 + 3e-7])
def test_a_rounded_affine_costs_no_part_its_volume(off: float) -> None:
    assert strays(False, 0.02, 0.001 * off) == [False, True, False, True]


def test_the_largest_part_alone_stays_unless_it_is_too_small() -> None:
    assert strays(True, 0.0) == [False, True, False, True]
    assert strays(True, 0.02) == [False, True, False, True]
    assert strays(True, 0.021) == [False, True, True, True]


def test_an_empty_region_has_no_part() -> None:
    parts = find_parts(np.zeros((3, 4, 5), bool))
    assert parts.count == 0
    assert not parts.strays(largest_only=True, minimum_ml=1.0, voxel_ml=1.0).any()
