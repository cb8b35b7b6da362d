import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from medgen.volumes.oblique import sample


@given(
    size=st.tuples(*[st.integers(1, 9)] * 3),
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    seed=st.integers(0, 999),
)
def test_is_scipys_affine_transform(
    size: tuple[int, int, int], shape: tuple[int, int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=size).astype(np.float32)
    matrix = np.eye(4)
    matrix[:3, :3] = rng.normal(size=(3, 3))
    matrix[:3, 3] = rng.uniform(-3, 9, 3)
    expected = ndimage.affine_transform(
        values, matrix[:3, :3], offset=matrix[:3, 3], output_shape=shape, order=1, mode="nearest"
    )
    np.testing.assert_allclose(sample(values, matrix, shape), expected, atol=2e-5)


def test_slabs_meet() -> None:
    values = np.random.default_rng(0).normal(size=(20, 30, 25)).astype(np.float32)
    matrix = np.eye(4)
    matrix[:3, :3] += 0.1
    answer = sample(values, matrix, (9, 300, 200))
    for x in range(9):
        shifted = matrix.copy()
        shifted[:3, 3] += x * matrix[:3, 0]
        np.testing.assert_allclose(sample(values, shifted, (1, 300, 200))[0], answer[x], atol=1e-5)
