"""Reflection as PyTorch and numpy have it, and nothing kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from medgen.networks.reflection import reflected


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_values_and_gradients_are_those_of_pytorch(
    width: int, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 3, 4, 7, 5).to(dtype).contiguous(memory_format=layout)
    features.requires_grad_()
    padded, expected = reflected(features, width), functional.pad(features, (width,) * 6, "reflect")
    assert torch.equal(padded, expected)
    sides = ((0, 0), (0, 0), *((width, width),) * 3)
    plain = np.pad(features.detach().float().numpy(), sides, mode="reflect")
    assert np.array_equal(padded.detach().float().numpy(), plain)
    weights = torch.randn(padded.shape).to(dtype)
    (found,) = torch.autograd.grad(padded, features, weights)
    (wanted,) = torch.autograd.grad(expected, features, weights)
    assert found.dtype == dtype
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_its_gradient_is_that_of_finite_differences() -> None:
    features = torch.randn(1, 1, 3, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: reflected(values, 2), (features,))


def test_what_is_padded_is_not_kept_for_the_gradient() -> None:
    kept: list[torch.Tensor] = []
    features = torch.randn(1, 1, 4, 4, 4, requires_grad=True)

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        reflected(features, 1)
        assert not kept
        functional.pad(features, (1,) * 6, "reflect")
    assert kept
