import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

from medgen.metrics import bias, mae, mse, nmse, nrmse, psnr, rmse
from medgen.metrics.masked import reference_range
from medgen.problems import Refusal

PREDICTION = np.array([[[1.0, 5.0], [0.0, 90.0]]])
REFERENCE = np.array([[[2.0, 2.0], [0.0, -90.0]]])
MASK = np.array([[[1, 1], [1, 0]]])


def test_hand_computed() -> None:
    # differences inside the mask: -1, 3, 0
    assert mae(PREDICTION, REFERENCE, MASK) == pytest.approx(4 / 3)
    assert bias(PREDICTION, REFERENCE, MASK) == pytest.approx(2 / 3)
    assert mse(PREDICTION, REFERENCE, MASK) == pytest.approx(10 / 3)
    assert rmse(PREDICTION, REFERENCE, MASK) == pytest.approx(math.sqrt(10 / 3))
    assert nmse(PREDICTION, REFERENCE, MASK) == pytest.approx(10 / 8)
    assert nrmse(PREDICTION, REFERENCE, MASK, data_range=2.0) == pytest.approx(
        math.sqrt(10 / 3) / 2
    )
    assert psnr(PREDICTION, REFERENCE, MASK, data_range=10.0) == pytest.approx(
        10 * math.log10(100 / (10 / 3))
    )
    assert reference_range(REFERENCE, MASK) == (0.0, 2.0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.05, 1.0))
def test_equal_scikit_image_on_random_volumes_with_random_masks(seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    reference = random.uniform(-1024, 3000, (9, 8, 7))
    prediction = reference + random.normal(0, 100, reference.shape)
    mask = random.random(reference.shape) < share
    mask[4, 4, 4] = True
    assert mse(prediction, reference, mask) == pytest.approx(
        mean_squared_error(prediction[mask], reference[mask]), rel=1e-9
    )
    assert psnr(prediction, reference, mask, data_range=4024) == pytest.approx(
        peak_signal_noise_ratio(reference[mask], prediction[mask], data_range=4024), abs=1e-9
    )


def test_what_lies_outside_the_mask_does_not_matter() -> None:
    changed = np.where(MASK > 0, PREDICTION, 12345.0)
    for score in (mae, bias, mse, rmse, nmse):
        assert score(changed, REFERENCE, MASK) == score(PREDICTION, REFERENCE, MASK)


def test_without_error_the_signal_to_noise_ratio_is_infinite() -> None:
    assert psnr(REFERENCE, REFERENCE, MASK, data_range=1.0) == math.inf
    assert math.isnan(nmse(PREDICTION, np.zeros_like(REFERENCE), MASK))


def test_integers_do_not_overflow() -> None:
    prediction = np.full((2, 2, 2), 30000, np.int16)
    reference = np.full((2, 2, 2), -30000, np.int16)
    assert mae(prediction, reference, np.ones((2, 2, 2))) == 60000


@pytest.mark.parametrize("score", [mae, bias, mse, rmse, nmse])
def test_refusals_are_collected(score: object) -> None:
    assert callable(score)
    empty = np.zeros_like(MASK)
    broken = PREDICTION.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(Refusal) as refused:
        score(broken, REFERENCE, empty)
    codes = [problem.code for problem in refused.value.problems]
    assert codes == ["E_EMPTY_MASK", "E_METRIC_NONFINITE"]
    with pytest.raises(Refusal, match="E_METRIC_SHAPE"):
        score(PREDICTION[..., :1], REFERENCE, MASK)


@pytest.mark.parametrize("data_range", [0.0, -1.0, math.nan, math.inf])
def test_a_range_without_extent_is_refused(data_range: float) -> None:
    for score in (psnr, nrmse):
        with pytest.raises(Refusal, match="E_METRIC_RANGE"):
            score(PREDICTION, REFERENCE, MASK, data_range=data_range)
