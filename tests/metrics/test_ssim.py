import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from medgen.metrics import ssim
from medgen.metrics.ssim import interior, ssim_map


def official(prediction: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> float:
    """SynthRAD2023's definition, spelt out on whole volumes with scikit-image."""
    volumes = [
        np.where(mask, np.clip(v, -1024.0, 3000.0), -1024.0) + 1024.0
        for v in (reference, prediction)
    ]
    _, similarity = structural_similarity(*volumes, data_range=4024.0, full=True)
    inner = (slice(3, -3),) * 3
    return float(similarity[inner][mask[inner]].mean())


def random_case(seed: int, shape: tuple[int, int, int], share: float) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    reference = random.uniform(-1400, 3400, shape)
    prediction = reference + random.normal(0, 300, shape)
    mask = random.random(shape) < share
    mask[shape[0] // 2, shape[1] // 2, shape[2] // 2] = True
    return [prediction, reference, mask]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(*[st.integers(7, 16)] * 3),
    share=st.floats(0.001, 1.0),
)
def test_equals_scikit_image_on_random_volumes_with_random_masks(
    seed: int, shape: tuple[int, int, int], share: float
) -> None:
    prediction, reference, mask = random_case(seed, shape, share)
    expected = official(prediction, reference, mask)
    assert ssim(prediction, reference, mask, low=-1024, high=3000) == pytest.approx(
        expected, abs=1e-6
    )


def test_a_small_mask_in_a_large_volume_equals_scikit_image() -> None:
    prediction, reference, _ = random_case(1, (40, 30, 20), 1.0)
    mask = np.zeros((40, 30, 20), bool)
    mask[0:6, 12:15, 16:20] = True
    assert ssim(prediction, reference, mask, low=-1024, high=3000) == pytest.approx(
        official(prediction, reference, mask), abs=1e-9
    )


def test_one_window_by_hand() -> None:
    random = np.random.default_rng(3)
    x, y = random.random((2, 7, 7, 7))
    c1, c2 = 0.01**2, 0.03**2
    covariance = float(np.cov(x.ravel(), y.ravel())[0, 1])
    expected = (
        (2 * x.mean() * y.mean() + c1)
        * (2 * covariance + c2)
        / ((x.mean() ** 2 + y.mean() ** 2 + c1) * (x.var(ddof=1) + y.var(ddof=1) + c2))
    )
    assert ssim_map(x, y, 1.0)[3, 3, 3] == pytest.approx(expected, abs=1e-9)
    assert ssim(x, y, np.ones_like(x), low=0.0, high=1.0) == pytest.approx(expected, abs=1e-9)


def test_identical_volumes_score_one_and_order_does_not_matter() -> None:
    prediction, reference, mask = random_case(5, (12, 11, 10), 0.5)
    assert ssim(reference, reference, mask, low=-1024, high=3000) == pytest.approx(1.0)
    assert ssim(prediction, reference, mask, low=-1024, high=3000) == pytest.approx(
        ssim(reference, prediction, mask, low=-1024, high=3000)
    )


def test_without_clipping_values_beyond_the_range_count() -> None:
    prediction, reference, mask = random_case(6, (10, 10, 10), 1.0)
    clipped = ssim(prediction, reference, mask, low=-1024, high=3000)
    kept = ssim(prediction, reference, mask, low=-1024, high=3000, clip=False)
    assert kept == pytest.approx(
        structural_similarity(prediction + 1024, reference + 1024, data_range=4024.0), abs=1e-9
    )
    assert kept != pytest.approx(clipped, abs=1e-6)


@pytest.mark.parametrize("shape", [(6, 9, 9), (9, 9, 3)])
def test_a_grid_below_one_window_scores_nan(shape: tuple[int, int, int]) -> None:
    values = np.zeros(shape)
    assert math.isnan(ssim(values, values, np.ones(shape), low=0, high=1))
    assert interior(values).size == 0


def test_a_mask_in_the_border_alone_scores_nan() -> None:
    mask = np.zeros((12, 12, 12))
    mask[:3] = 1
    assert math.isnan(ssim(mask, mask, mask, low=0, high=1))
