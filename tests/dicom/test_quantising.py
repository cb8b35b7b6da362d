import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medgen.dicom.quantising import (
    Stored,
    check_finite,
    store_activity,
    store_arbitrary,
    store_hu,
)
from medgen.problems import Refusal

FINITE = st.floats(-(2.0**99), 2.0**99, width=32)
VOLUMES = arrays(np.float32, (3, 2, 2), elements=FINITE)


def decoded(stored: Stored) -> np.ndarray:
    planes = [stored.decoded(index) for index in range(stored.values.shape[2])]
    return np.stack(planes, axis=2)


@given(arrays(np.float32, (3, 2, 2), elements=st.floats(-1024, 64511, width=32)))
def test_hu_are_rounded(data: np.ndarray) -> None:
    stored = store_hu(data)
    assert stored.values.dtype == np.uint16
    assert stored.clipped == 0
    assert np.array_equal(decoded(stored), np.rint(data))


def test_hu_beyond_sixteen_bits_are_clipped_and_counted() -> None:
    stored = store_hu(np.array([-1024.5, -1024.51, -3e30, 64511.5, 64511.51]).reshape(5, 1, 1))
    assert decoded(stored).ravel().tolist() == [-1024, -1024, -1024, 64511, 64511]
    assert stored.clipped == 4  # 64511.5 rounds to even, which is one too many


@given(VOLUMES)
def test_activity_is_exact_to_its_slices_peak(data: np.ndarray) -> None:
    data[0, 0] = (1, 2)  # slopes that differ
    stored = store_activity(data)
    assert stored.values.dtype == np.int16
    assert stored.clipped == 0
    for index, slope in enumerate(stored.slopes):
        assert len(slope) <= 16
        assert float(slope) > 0
        peak = float(np.abs(data[:, :, index]).max())
        apart = np.abs(stored.decoded(index) - data[:, :, index])
        assert apart.max() <= max(peak * 1.6e-5, 1e-37)


@given(VOLUMES)
def test_arbitrary_values_are_exact_to_the_series_peak(data: np.ndarray) -> None:
    stored = store_arbitrary(data)
    assert stored.values.dtype == (np.int16 if data.min() < 0 else np.uint16)
    assert len(set(stored.slopes)) <= 1
    apart = np.abs(decoded(stored) - data)
    assert apart.max() <= max(float(np.abs(data).max()) * 1.6e-5, 1e-37)


@pytest.mark.parametrize("low", [0, -200])
def test_whole_numbers_are_stored_as_they_are(low: int) -> None:
    data = np.random.default_rng(0).integers(low, 4000, (4, 3, 2))
    for kind in (np.float32, np.int16, np.int64):
        stored = store_arbitrary(data.astype(kind))
        assert stored.slopes == ()
        assert np.array_equal(stored.values, data)


def test_whole_numbers_that_do_not_fit_are_scaled() -> None:
    stored = store_arbitrary(np.array([0, 70000]).reshape(2, 1, 1))
    assert stored.slopes
    assert np.abs(decoded(stored).ravel() - (0, 70000)).max() < 1


def test_a_slice_without_activity_has_a_slope_too() -> None:
    data = np.zeros((2, 2, 2), np.float32)
    data[0, 0, 1] = 5
    stored = store_activity(data)
    assert stored.slopes[0] == "1"
    assert not stored.decoded(0).any()
    assert stored.decoded(1)[0, 0] == pytest.approx(5, rel=2e-5)


def test_finite_values_pass_and_others_are_counted() -> None:
    check_finite(np.zeros((2, 2, 2), np.int16))
    with pytest.raises(Refusal, match="E_NONFINITE: 2 of 4 voxels"):
        check_finite(np.array([0, np.nan, 1, -np.inf]))


def test_slopes_that_hardly_differ_become_one() -> None:
    data = np.random.default_rng(0).uniform(0, 15, (2, 2, 3))
    data[0, 0] = (15.0, 15.001, 14.999)
    stored = store_activity(data)
    assert len(set(stored.slopes)) == 1
    assert np.abs(decoded(stored) - data).max() <= 15.001 / 32767 / 2 * 1.001
    data[0, 0, 1] = 16
    assert len(set(store_activity(data).slopes)) == 3
