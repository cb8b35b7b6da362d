import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.metrics import detect


def volume(*boxes: tuple[slice, ...]) -> np.ndarray:
    found = np.zeros((20, 8, 6), np.uint8)
    for box in boxes:
        found[box] = 1
    return found


SMALL = (slice(1, 2),) * 3
LARGE = (slice(5, 9), slice(1, 5), slice(1, 4))
LONG = (slice(12, 18), slice(6, 7), slice(2, 3))


def test_detection_by_hand() -> None:
    reference = volume(SMALL, LARGE, LONG)
    one_voxel = (slice(8, 9), slice(4, 5), slice(3, 4))  # of LARGE: enough to find it
    false = (slice(18, 20), slice(0, 2), slice(4, 6))
    found = detect(volume(one_voxel, LONG, false), reference)
    assert found == (3, 2, 3, 2)
    assert found.recall == found.precision == found.f1 == pytest.approx(2 / 3)


def test_one_prediction_may_find_two_lesions_and_two_predictions_one() -> None:
    reference = volume(SMALL, LARGE)
    bridge = (slice(1, 6), slice(1, 2), slice(1, 2))
    found = detect(volume(bridge), reference)
    assert found == (2, 2, 1, 1)
    assert found.f1 == 1.0
    ends = (slice(12, 13), slice(6, 7), slice(2, 3)), (slice(17, 18), slice(6, 7), slice(2, 3))
    assert detect(volume(*ends), volume(LONG)) == (1, 1, 2, 2)


def test_voxels_that_touch_by_a_corner_are_one_lesion() -> None:
    diagonal = np.zeros((4, 4, 4), np.uint8)
    diagonal[[0, 1, 2], [0, 1, 2], [0, 1, 2]] = 1
    assert detect(diagonal, diagonal).reference == 1
    apart = np.zeros((4, 4, 4), np.uint8)
    apart[0, 0, 0] = apart[2, 0, 0] = 1
    assert detect(apart, apart).reference == 2


def test_empty_sides() -> None:
    nothing, something = volume(), volume(LARGE)
    both = detect(nothing, nothing)
    assert all(math.isnan(value) for value in (both.f1, both.recall, both.precision))
    missed = detect(nothing, something)
    assert (missed.f1, missed.recall) == (0.0, 0.0)
    assert math.isnan(missed.precision)
    invented = detect(something, nothing)
    assert (invented.f1, invented.precision) == (0.0, 0.0)
    assert math.isnan(invented.recall)
    assert detect(volume(SMALL), volume(LONG)).f1 == 0.0


@given(st.integers(0, 2**32 - 1), st.permutations([0, 1, 2]), st.integers(0, 2))
def test_axes_do_not_matter_and_swapping_swaps(seed: int, axes: list[int], flip: int) -> None:
    first, second = np.random.default_rng(seed).random((2, 6, 5, 4)) < 0.15
    found = detect(first, second)
    turned = [np.flip(region.transpose(axes), flip) for region in (first, second)]
    assert detect(*turned) == found
    back = detect(second, first)
    assert (back.recall, back.precision) == pytest.approx(
        (found.precision, found.recall), nan_ok=True
    )
    assert back.f1 == pytest.approx(found.f1, nan_ok=True)
