import math

import numpy as np
import pytest
from scipy.signal import fftconvolve

from medgen.metrics import ms_ssim
from medgen.metrics.ms_ssim import WEIGHTS, combined, halved, scales
from medgen.metrics.ssim import interior


def window_terms(x: np.ndarray, y: np.ndarray, data_range: float) -> float:
    """Luminance * contrast * structure of one pair of windows, from the paper's formulas."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    c3 = c2 / 2
    sx, sy = x.std(ddof=1), y.std(ddof=1)
    sxy = ((x - x.mean()) * (y - y.mean())).sum() / (x.size - 1)
    luminance = (2 * x.mean() * y.mean() + c1) / (x.mean() ** 2 + y.mean() ** 2 + c1)
    contrast = (2 * sx * sy + c2) / (sx**2 + sy**2 + c2)
    structure = (sxy + c3) / (sx * sy + c3)
    return float(np.prod([max(0.0, term) for term in (luminance, contrast, structure)]))


def brute_force(
    prediction: np.ndarray, reference: np.ndarray, mask: np.ndarray, low: float, high: float
) -> float:
    """The official definition, slowly: a Python loop over the mask voxels of every scale."""
    pads = []
    for length in reference.shape:
        missing = max(97 - length, 0)
        pads.append((missing // 2, missing - missing // 2))
    x, y = (
        np.pad(np.where(mask, np.clip(v, low, high), low) - low, pads, mode="edge")
        for v in (prediction, reference)
    )
    mask = np.pad(mask, pads, mode="edge")
    total = 1.0
    for weight in (0.0448, 0.2856, 0.3001, 0.2363, 0.1333):
        values = [
            window_terms(
                x[i - 3 : i + 4, j - 3 : j + 4, k - 3 : k + 4],
                y[i - 3 : i + 4, j - 3 : j + 4, k - 3 : k + 4],
                high - low,
            )
            ** weight
            for i, j, k in np.argwhere(mask)
            if all(3 <= p < n - 3 for p, n in zip((i, j, k), x.shape, strict=True))
        ]
        total *= min(max(float(np.mean(values)), 0.0), 1.0)
        kernel = np.ones((2, 2, 2)) / 8
        x, y = (fftconvolve(v, kernel, mode="same")[::2, ::2, ::2] for v in (x, y))
        mask = mask[::2, ::2, ::2]
    return total


def random_case(seed: int, shape: tuple[int, int, int], share: float) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    coarse = random.uniform(-1400, 3400, tuple(-(-n // 8) for n in shape))
    reference = np.kron(coarse, np.ones((8, 8, 8)))[tuple(slice(n) for n in shape)]
    reference = reference + random.normal(0, 50, shape)
    prediction = reference + random.normal(0, 400, shape)
    mask = random.random(shape) < share
    return [prediction, reference, mask]


@pytest.mark.parametrize(
    ("seed", "shape"), [(0, (97, 97, 97)), (1, (20, 97, 33)), (2, (112, 98, 101))]
)
def test_equals_a_slow_implementation_on_random_volumes_with_random_masks(
    seed: int, shape: tuple[int, int, int]
) -> None:
    prediction, reference, mask = random_case(seed, shape, 0.002)
    mask[tuple(slice(n // 2 - 1, n // 2 + 2) for n in shape)] = True
    # the coarsest scale of a small grid keeps its central voxels only: make sure of them
    padded_start = [max(97 - n, 0) // 2 for n in shape]
    for i in range(48, 96, 16):
        centre = tuple(min(i - s, n - 1) for s, n in zip(padded_start, shape, strict=True))
        mask[tuple(max(c, 0) for c in centre)] = True
    expected = brute_force(prediction, reference, mask, -1024.0, 3000.0)
    assert 0.05 < expected < 0.999
    assert ms_ssim(prediction, reference, mask) == pytest.approx(expected, abs=1e-6)


def test_halving_equals_convolution_then_every_second() -> None:
    random = np.random.default_rng(4)
    for shape in [(8, 9, 10), (1, 2, 3), (97, 4, 5)]:
        values = random.random(shape)
        expected = fftconvolve(values, np.ones((2, 2, 2)) / 8, mode="same")[::2, ::2, ::2]
        np.testing.assert_allclose(halved(values), expected, atol=1e-12)


def test_identical_volumes_score_one() -> None:
    _, reference, _ = random_case(7, (97, 97, 97), 1.0)
    assert ms_ssim(reference, reference, np.ones((97, 97, 97))) == pytest.approx(1.0)


def test_weights_apply_to_luminance_at_every_scale() -> None:
    """A constant offset changes luminance alone, which the paper weighs at the last scale only."""
    reference = np.full((97, 97, 97), 0.0)
    prediction = np.full((97, 97, 97), 1000.0)
    x, y, c1 = 2024.0, 1024.0, (0.01 * 4024) ** 2
    luminance = (2 * x * y + c1) / (x**2 + y**2 + c1)
    found = scales(prediction, reference, np.ones_like(reference))
    assert found[0].value == pytest.approx(luminance ** WEIGHTS[0], abs=1e-9)
    assert combined(found) < luminance ** WEIGHTS[-1] * 0.9


def test_a_small_or_eccentric_mask_is_nan_with_the_scale_that_is_empty() -> None:
    values = np.zeros((97, 97, 97))
    mask = np.zeros((97, 97, 97))
    mask[10:20, 10:20, 10:20] = 1
    found = scales(values, values, mask)
    assert found[0].voxels == 1000
    assert found[4].voxels == 0
    assert math.isnan(found[4].value)
    assert math.isnan(ms_ssim(values, values, mask))


def test_voxel_counts_follow_the_strided_mask() -> None:
    mask = np.random.default_rng(8).random((120, 100, 97)) < 0.5
    found = scales(np.zeros(mask.shape), np.zeros(mask.shape), mask)
    for level, scale in enumerate(found):
        step = 2**level
        assert scale.voxels == np.count_nonzero(interior(mask[::step, ::step, ::step]))
