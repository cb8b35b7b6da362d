import itertools
from typing import Any, Literal

import numpy as np
import pytest

from medgen.volumes.ordering import in_order


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("kind", [np.bool_, np.int16, ">f4", np.float64])
def test_values_stay_and_memory_is_in_order(
    order: Literal["C", "F"], axes: tuple[int, int, int], kind: Any
) -> None:
    values = np.random.default_rng(0).integers(0, 99, (7, 6, 5)).astype(kind)
    for given in (values.transpose(axes), values.transpose(axes)[::-1, :, ::2]):
        laid = in_order(given, np.float32, order=order)
        assert laid.dtype == np.float32
        assert laid.flags[f"{order}_CONTIGUOUS"]
        assert np.array_equal(laid, given)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 1), (3, 1, 2), (5, 4, 1)])
def test_single_planes(shape: tuple[int, int, int]) -> None:
    values = np.asfortranarray(np.arange(np.prod(shape)).reshape(shape))
    assert np.array_equal(in_order(values, np.float32), values)


def test_what_is_in_order_is_not_copied() -> None:
    values = np.zeros((3, 4, 5), np.float32)
    assert in_order(values, np.float32) is values
    assert in_order(values.T, np.float32, order="F") is not None
    assert np.shares_memory(in_order(values.T, np.float32, order="F"), values)
