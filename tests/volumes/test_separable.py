import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from medgen.volumes import smoothed
from medgen.volumes.separable import along, gaussian, linear


@given(
    count=st.integers(1, 70),
    new_count=st.integers(1, 90),
    scale=st.floats(-3, 3),
    offset=st.floats(-20, 90),
)
def test_linear_is_numpys_interpolation(
    count: int, new_count: int, scale: float, offset: float
) -> None:
    values = np.random.default_rng(count).normal(size=count).astype(np.float32)
    place = offset + scale * np.arange(new_count)
    expected = np.interp(place, np.arange(count), values)
    matrix = linear(count, new_count, scale=scale, offset=offset)
    np.testing.assert_allclose(matrix @ values, expected, atol=1e-4)


@given(count=st.integers(1, 50), new_count=st.integers(1, 60), scale=st.floats(0.01, 2))
def test_constants_stay_what_they_are(count: int, new_count: int, scale: float) -> None:
    matrix = linear(count, new_count, scale=scale, offset=0.3)
    assert (matrix.astype(np.float64).sum(axis=1).astype(np.float32) == 1).all()


@pytest.mark.parametrize("truncate", [3.0, 4.0])
@pytest.mark.parametrize("sigma", [0.05, 0.7, 2.3, 9.0])
def test_gaussian_is_scipys(sigma: float, truncate: float) -> None:
    values = np.random.default_rng(0).normal(size=(37, 5, 2)).astype(np.float32)
    widths = (sigma, 1.3, sigma)
    expected = ndimage.gaussian_filter(values, widths, mode="nearest", truncate=truncate)
    np.testing.assert_allclose(smoothed(values, widths, truncate=truncate), expected, atol=2e-6)


@given(shape=st.tuples(*[st.integers(1, 40)] * 3), seed=st.integers(0, 99))
def test_axes_are_multiplied_one_by_one(shape: tuple[int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape).astype(np.float32)
    new = rng.integers(1, 40, 3)
    matrices = [
        linear(n, int(m), scale=rng.uniform(-2, 2), offset=rng.uniform(-2, n))
        for n, m in zip(shape, new, strict=True)
    ]
    matrices[1] = gaussian(shape[1], 1.5)
    expected = np.einsum("ai,bj,ck,ijk->abc", *matrices, values, optimize=True)
    answer = along(values, matrices)
    assert answer.flags.c_contiguous
    np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_many_lines_along_the_last_axis() -> None:
    values = np.random.default_rng(0).normal(size=(60, 41, 20)).astype(np.float32)
    matrix = linear(20, 33, scale=0.6, offset=0.1)
    answer = along(values, [None, None, matrix])
    np.testing.assert_allclose(answer, values @ matrix.T, atol=1e-6)
    assert along(values, [None, None, None]) is values
