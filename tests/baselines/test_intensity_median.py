"""The answer by intensity alone."""

import numpy as np
import pytest

from medgen.baselines import IntensityMedian, Pair
from medgen.problems import ConfigurationError
from medgen.volumes import Grid, Volume

SHAPE = (24, 26, 22)
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])


def ball() -> np.ndarray:
    index = np.indices(SHAPE) - (np.array(SHAPE) / 2 - 0.5)[:, None, None, None]
    return np.sqrt((index**2).sum(axis=0)) / (min(SHAPE) / 2 - 2)


def pair(seed: int, *, gain: float = 100.0, target_affine: np.ndarray = AFFINE) -> Pair:
    """Return a ball of soft tissue (60) with two kinds of core (100: bone, 30: fat)."""
    radius, rng = ball(), np.random.default_rng(seed)
    levels = np.select([radius > 1, radius > 0.7, radius > 0.4], [0.0, 0.6, 1.0], 0.3)
    hounsfield = np.select([radius > 1, radius > 0.7, radius > 0.4], [-1000, 40, 900.0], -100)
    source = gain * (levels + rng.uniform(-0.001, 0.001, SHAPE))
    grid = Grid(SHAPE, AFFINE)
    target = Volume(hounsfield.astype(np.float32), Grid(SHAPE, target_affine), "HU")
    return Pair(f"c{seed}", Volume(source, grid), target, radius <= 1)


def test_each_intensity_is_answered_with_its_median_at_any_gain() -> None:
    fitted = IntensityMedian.fit([pair(0, gain=100), pair(1, gain=3000)])
    unseen = pair(2, gain=7.0)
    answer = fitted.predict(unseen.source)
    assert answer.unit == "HU"
    assert answer.grid is unseen.source.grid
    np.testing.assert_array_equal(answer.data[unseen.mask], unseen.target.data[unseen.mask])


def test_it_is_the_median_and_not_the_mean() -> None:
    case = pair(0)
    wild = case.target.data.copy()
    soft = wild == 40
    wild.flat[np.flatnonzero(soft)[::3]] = 3000
    fitted = IntensityMedian.fit([Pair("c", case.source, case.target.with_data(wild), case.mask)])
    answer = fitted.predict(case.source)
    assert np.unique(answer.data[soft]).tolist() == [40]


def test_the_answer_is_in_the_targets_unit() -> None:
    case = pair(0)
    other = Pair("c", case.source, case.target.with_data(case.target.data, unit="SUV"), case.mask)
    assert IntensityMedian.fit([other]).predict(case.source).unit == "SUV"


def test_a_bin_that_nothing_falls_in_lies_between_its_neighbours() -> None:
    fitted = IntensityMedian.fit([pair(0)], bins=16)
    assert np.isfinite(fitted.medians).all()
    assert set(np.unique(fitted.medians)) > {-100.0, 40.0, 900.0}


def test_only_the_mask_and_what_the_target_saw_count() -> None:
    shifted = AFFINE.copy()
    shifted[0, 3] = 4.0 * SHAPE[0] / 2  # the target begins in the middle of the source
    half = pair(0, target_affine=shifted)
    case = Pair("c", half.source, half.target.with_data(np.full(SHAPE, 55.0)), half.mask)
    fitted = IntensityMedian.fit([case])
    assert np.unique(fitted.medians).tolist() == [55]
    outside = Pair("c", half.source, half.target, ~half.mask)
    assert np.unique(IntensityMedian.fit([outside]).medians).max() < 0


def test_sparse_sampling_changes_little() -> None:
    full = IntensityMedian.fit([pair(0)])
    sparse = IntensityMedian.fit([pair(0)], voxels_per_case=500)
    source = pair(1).source
    same = full.predict(source).data == sparse.predict(source).data
    assert same[pair(1).mask].mean() > 0.99


def test_nothing_to_fit_on_is_refused() -> None:
    empty = pair(0)
    for pairs in ([], [Pair("c", empty.source, empty.target, np.zeros(SHAPE, np.bool_))]):
        with pytest.raises(ConfigurationError) as caught:
            IntensityMedian.fit(pairs)
        assert caught.value.problems[0].code == "E_BASELINE_EMPTY"
