"""The divergence of normal distributions against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from medgen.losses import normal_divergence


def test_it_is_torchs_divergence_summed_over_the_latent() -> None:
    torch.manual_seed(0)
    mean, log_sigma = 2 * torch.randn(5, 7), torch.randn(5, 7)
    expected = kl_divergence(Normal(mean, log_sigma.exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(normal_divergence(mean, log_sigma), expected)


def test_the_prior_itself_is_no_distance_away() -> None:
    assert normal_divergence(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == [0.0, 0.0]


def test_its_gradient_is_right() -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(normal_divergence, inputs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_is_computed_in_float32(dtype: torch.dtype) -> None:
    mean = torch.full((1, 4096), 0.5, dtype=dtype)
    answer = normal_divergence(mean, torch.zeros_like(mean))
    assert answer.dtype == torch.float32
    assert answer.item() == pytest.approx(512.0)
