"""Lesions by size, against a count that scikit-image labels and plain loops make."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import label

from medgen.metrics import SizeBin, detect, detect_by_size, pooled
from medgen.metrics.lesions import Detection


def counted_by_hand(
    prediction: np.ndarray, reference: np.ndarray, voxel_mm3: float, bounds: tuple[float, ...]
) -> list[tuple[int, int, int, int]]:
    """Walk over every component of either side, and ask of each voxel alone."""
    bins = [[0, 0, 0, 0] for _ in range(len(bounds) + 1)]
    for column, (mine, other) in enumerate([(reference, prediction), (prediction, reference)]):
        numbers = label(mine, connectivity=3)
        for number in range(1, int(numbers.max()) + 1):
            places = np.argwhere(numbers == number)
            size = len(places) * voxel_mm3 / 1000
            which = sum(1 for bound in bounds if size > bound)
            bins[which][2 * column] += 1
            bins[which][2 * column + 1] += any(other[tuple(place)] for place in places)
    return [tuple(each) for each in bins]


def blobs(seed: int, level: float) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(16, 14, 12))
    return ndimage.gaussian_filter(noise, 1.0) > level * 0.2


@settings(max_examples=40)
@given(st.integers(0, 999), st.floats(0.3, 1.2), st.integers(0, 2))
def test_counts_equal_those_of_another_program(seed: int, level: float, moved: int) -> None:
    reference = blobs(seed, level)
    prediction = np.roll(blobs(seed, level + 0.1), moved, axis=1) | blobs(seed + 1, 1.5)
    spacing, bounds = (1.0, 1.5, 2.5), (0.00751, 0.0301, 0.2)
    found = detect_by_size(prediction, reference, spacing, bounds_ml=bounds)
    expected = counted_by_hand(prediction, reference, 3.75, bounds)
    assert [each.counts for each in found] == expected
    together = np.sum([each.counts for each in found], axis=0)
    assert tuple(together) == detect(prediction, reference)


SHAPE = (20, 8, 8)


def volume(*boxes: tuple[slice, slice, slice]) -> np.ndarray:
    found = np.zeros(SHAPE, np.uint8)
    for box in boxes:
        found[box] = 1
    return found


def box(x: int, width: int) -> tuple[slice, slice, slice]:
    """Return a box of 4 times `width` voxels."""
    return (slice(x, x + width), slice(2, 4), slice(2, 4))


def test_each_side_is_binned_by_its_own_size() -> None:
    reference, prediction = volume(box(1, 1), box(8, 5)), volume(box(1, 4), box(15, 1))
    small, large = detect_by_size(prediction, reference, (1, 1, 1), bounds_ml=(0.008,))
    assert small.counts == (1, 1, 1, 0)
    assert large.counts == (1, 0, 1, 1)
    assert (small.recall, small.precision, small.f1) == (1.0, 0.0, 0.0)
    assert (large.recall, large.precision, large.f1) == (0.0, 1.0, 0.0)
    assert (small.name, large.name) == ("up to 0.008 ml", "above 0.008 ml")


def test_a_lesion_of_just_a_bound_is_the_smaller_bin_s() -> None:
    lesion = volume(box(3, 5))  # 20 voxels of 0.3 by 1 by 1 mm; 20 * 0.0003 is not quite 0.006
    spacing = (0.3, 1.0, 1.0)
    small, large = detect_by_size(lesion, lesion, spacing, bounds_ml=(0.006,))
    assert (small.counts, large.counts) == ((1, 1, 1, 1), (0, 0, 0, 0))


def test_a_size_that_only_one_side_has_is_no_failure_where_it_was_found_as_another() -> None:
    small, large = detect_by_size(
        volume(box(1, 4)), volume(box(1, 1)), (1, 1, 1), bounds_ml=(0.008,)
    )
    assert small.recall == large.precision == 1.0
    assert math.isnan(small.f1)
    assert math.isnan(large.f1)
    missed, _ = detect_by_size(volume(), volume(box(1, 1)), (1, 1, 1), bounds_ml=(0.008,))
    assert missed.f1 == 0.0
    nothing, _ = detect_by_size(volume(), volume(), (1, 1, 1), bounds_ml=(0.008,))
    assert all(math.isnan(share) for share in (nothing.recall, nothing.precision, nothing.f1))


def test_pooling_adds_counts_and_is_no_mean_of_shares() -> None:
    cases = [
        (SizeBin(0.0, 1.0, Detection(1, 1, 1, 1)), SizeBin(1.0, math.inf, Detection(2, 2, 2, 1))),
        (SizeBin(0.0, 1.0, Detection(9, 0, 3, 0)), SizeBin(1.0, math.inf, Detection(0, 0, 2, 1))),
    ]
    small, large = pooled(iter(cases))
    assert small.counts == (10, 1, 4, 1)
    assert (small.recall, small.precision) == (0.1, 0.25)
    assert small.f1 == pytest.approx(2 * 0.1 * 0.25 / 0.35)
    assert large.counts == (2, 2, 4, 2)
    assert pooled([]) == ()
    with pytest.raises(ValueError, match="different bins"):
        pooled([cases[0], detect_by_size(volume(), volume(), (1, 1, 1))])


def test_without_bounds_there_is_one_bin() -> None:
    lesion = volume(box(3, 2))
    [every] = detect_by_size(lesion, lesion, (1, 1, 1), bounds_ml=())
    assert (every.name, every.f1) == ("any size", 1.0)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (2.0, 1.0), (1.0, 1.0), (-1.0,)])
def test_bounds_ascend(bounds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        detect_by_size(volume(), volume(), (1, 1, 1), bounds_ml=bounds)
