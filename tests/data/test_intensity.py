from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medgen.config import CohortScale, PercentileScale, SharedScale, WindowScale, ZScoreScale
from medgen.data import Codec, fit_cohort, measure
from medgen.data.intensity import unit_of
from medgen.problems import Refusal

HU = WindowScale(scale="window", low=-1024, high=3000, unit="HU")
ENDS = st.tuples(st.floats(-5000, 5000), st.floats(1e-2, 1e4)).map(lambda p: (p[0], p[0] + p[1]))
SHARES = hnp.arrays(np.float64, 20, elements=st.floats(0, 1))


def body(values: np.ndarray) -> np.ndarray:
    return np.ones(values.shape, dtype=bool)


@given(ends=ENDS, shares=SHARES, clip=st.booleans())
def test_encode_then_decode_is_the_identity_inside(ends, shares, clip):
    low, high = ends
    values = low + shares * (high - low)
    codec = Codec(low, high, clip, "arbitrary", low)
    encoded = codec.encode(values)
    assert encoded.dtype == np.float32
    assert np.abs(encoded).max() <= 1.0 + 1e-6
    tolerance = 1e-6 * (high - low) + 1e-6 * max(abs(low), abs(high))
    np.testing.assert_allclose(codec.decode(encoded), values, atol=tolerance, rtol=0)


@given(ends=ENDS, shares=hnp.arrays(np.float64, 20, elements=st.floats(-3, 4)))
def test_linear_beyond_the_ends_and_monotone(ends, shares):
    low, high = ends
    values = np.sort(low + shares * (high - low))
    encoded = Codec(low, high, False, "arbitrary", low).encode(values)
    assert (np.diff(encoded) >= 0).all()
    np.testing.assert_allclose(encoded, 2 * np.sort(shares) - 1, atol=1e-5 * (1 + abs(low)))


def test_a_window_clips_and_counts():
    codec = measure(HU, np.zeros(1), np.ones(1, bool))
    values = np.array([-2000.0, -1024.0, 0.0, 3000.0, 3071.0])
    assert codec.clipped(values) == 2
    assert codec.encode(values).tolist()[0] == -1.0
    assert codec.encode(values).tolist()[-1] == 1.0
    assert (codec.background, codec.unit, codec.gain) == (-1024.0, "HU", 2012.0)


def test_a_window_keeps_its_own_background():
    scale = WindowScale(scale="window", low=0, high=10, unit="SUV", background=1.0)
    assert measure(scale, np.zeros(1), np.ones(1, bool)).background == 1.0
    assert unit_of(scale) == "SUV"
    assert unit_of(PercentileScale(scale="percentile")) == "arbitrary"


def test_decode_takes_tensors():
    codec = Codec(-1024.0, 3000.0, True, "HU", -1024.0)
    decoded = codec.decode(torch.tensor([-1.0, 0.0, 1.0]))
    assert torch.equal(decoded, torch.tensor([-1024.0, 988.0, 3000.0]))


def test_percentiles_are_measured_inside_the_body_and_never_clip():
    values = np.concatenate([np.zeros(1000), np.linspace(100, 200, 101)])
    scale = PercentileScale(scale="percentile", low=0, high=100)
    codec = measure(scale, values, values > 0)
    assert (codec.low, codec.high, codec.background) == (100.0, 200.0, 0.0)
    assert codec.clipped(np.array([1e6])) == 0
    assert codec.encode(np.array([300.0]))[0] == pytest.approx(3.0)


@pytest.mark.parametrize(("lowest", "air"), [(500.0, 0.0), (-3.0, -3.0)])
def test_air_is_nothing_unless_the_body_itself_goes_below(lowest, air):
    values = np.linspace(lowest, lowest + 1000, 101)
    scale = PercentileScale(scale="percentile", low=0, high=100)
    codec = measure(scale, values, values > -1e9)
    shared = measure(
        SharedScale(scale="shared", **{"with": "pet_low"}), values, values > 0, shared=codec
    )
    cohort = measure(CohortScale(scale="cohort"), values, values > 0, cohort=(lowest, 2000.0))
    assert [codec.background, shared.background, cohort.background] == [air] * 3


@pytest.mark.parametrize("inside", [True, False])
def test_flat_values_are_refused(inside):
    with pytest.raises(Refusal, match="E_FLAT_INTENSITY"):
        measure(PercentileScale(scale="percentile"), np.full(9, 7.0), np.full(9, inside))


@given(
    seed=st.integers(0, 99),
    centre=st.floats(-100, 1000),
    width=st.floats(0.1, 300),
    deviations=st.floats(0.5, 6),
)
def test_z_scores_put_the_mean_at_0_and_so_many_deviations_at_1(seed, centre, width, deviations):
    values = np.random.default_rng(seed).normal(centre, width, (9, 8, 7))
    inside = np.random.default_rng(seed + 1).random((9, 8, 7)) < 0.6
    values[~inside] = 1e5  # what lies outside the body counts for nothing
    scale = ZScoreScale(scale="z_score", deviations=deviations)
    codec = measure(scale, values, inside, unit="counts")
    assert (codec.clip, codec.unit) == (False, "counts")
    encoded = codec.encode(values[inside]).astype(np.float64)
    assert encoded.mean() == pytest.approx(0.0, abs=1e-4)
    assert encoded.std() == pytest.approx(1 / deviations, rel=1e-4)
    assert codec.clipped(values) == 0
    np.testing.assert_allclose(codec.decode(encoded), values[inside], atol=1e-3 * (width + 1))


@given(gain=st.floats(1e-3, 1e3), offset=st.floats(-1e3, 1e3))
def test_z_scores_do_not_see_gain_or_offset(gain, offset):
    values = np.random.default_rng(0).gamma(2.0, 50.0, 500)
    scale = ZScoreScale(scale="z_score")
    changed = gain * values + gain * offset
    first, second = (measure(scale, v, body(v)).encode(v) for v in (values, changed))
    np.testing.assert_allclose(second, first, atol=1e-4)


def test_air_of_z_scores_is_nothing_though_the_low_end_is_below_it():
    values = np.concatenate([np.zeros(50), np.linspace(1, 1000, 500)])
    codec = measure(ZScoreScale(scale="z_score"), values, values > 0)
    assert codec.low < 0.0 == codec.background
    normalised = values - 500.0
    below = measure(ZScoreScale(scale="z_score"), normalised, values > 0)
    assert below.background == pytest.approx(np.percentile(normalised[values > 0], 0.5))


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("value", [0.0, 7.0, 0.1, 1e-30])
def test_a_deviation_of_0_is_refused(inside, value):
    values = np.full((7, 11, 13), value, np.float32)
    with pytest.raises(Refusal, match="E_FLAT_INTENSITY"):
        measure(ZScoreScale(scale="z_score"), values, np.full(values.shape, inside))


def test_z_scores_name_the_unit_that_files_lack():
    values = np.linspace(0, 10, 50)
    scale = ZScoreScale(scale="z_score", unit="SUV")
    assert unit_of(scale) == measure(scale, values, values > 0).unit == "SUV"
    assert unit_of(ZScoreScale(scale="z_score")) == "arbitrary"


def test_cohort_and_shared_scales():
    cohort = CohortScale(scale="cohort")
    assert fit_cohort(cohort, [(0, 10), (1, 30), (2, 20)]) == (1.0, 20.0)
    codec = measure(cohort, np.zeros(1), np.ones(1, bool), cohort=(1.0, 20.0))
    assert (codec.low, codec.high, codec.clip) == (1.0, 20.0, False)
    shared = SharedScale.model_validate({"scale": "shared", "with": "pet_low"})
    assert measure(shared, np.zeros(1), np.ones(1, bool), shared=codec) == codec
    with pytest.raises(Refusal, match="E_COHORT_EMPTY"):
        fit_cohort(cohort, [])
    with pytest.raises(ValueError, match="not fitted"):
        measure(cohort, np.zeros(1), np.ones(1, bool))
    with pytest.raises(ValueError, match="pet_low"):
        measure(shared, np.zeros(1), np.ones(1, bool))


@given(ends=ENDS, clip=st.booleans())
def test_json_round_trip(ends, clip):
    codec = Codec(ends[0], ends[1], clip, "HU", ends[0])
    assert Codec.from_json(codec.as_json()) == codec
