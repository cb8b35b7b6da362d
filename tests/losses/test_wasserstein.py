"""Wasserstein losses: differences of means, whatever the shapes, in float32."""

from __future__ import annotations

import pytest
import torch

from medgen.losses import wasserstein_critic_loss, wasserstein_generator_loss


def test_they_are_differences_of_means() -> None:
    real, fake = torch.tensor([[3.0], [5.0]]), torch.tensor([-1.0, 0.0, 4.0])
    assert wasserstein_critic_loss(real, fake).item() == pytest.approx(1.0 - 4.0)
    assert wasserstein_generator_loss(fake).item() == pytest.approx(-1.0)


def test_critic_and_generator_pull_against_each_other_alone() -> None:
    real, fake = torch.randn(4, 1, requires_grad=True), torch.randn(4, 1, requires_grad=True)
    of_real, of_fake = torch.autograd.grad(wasserstein_critic_loss(real, fake), (real, fake))
    assert torch.equal(of_real, torch.full((4, 1), -0.25))
    assert torch.equal(of_fake, torch.full((4, 1), 0.25))
    (of_generator,) = torch.autograd.grad(wasserstein_generator_loss(fake), fake)
    assert torch.equal(of_generator, -of_fake)


def test_scores_in_bf16_are_averaged_in_float32() -> None:
    scores = torch.tensor([256.0, 257.0]).bfloat16()  # whose mean bf16 cannot hold
    assert wasserstein_generator_loss(torch.tensor([256.0, 258.0]).bfloat16()).item() == -257.0
    assert wasserstein_critic_loss(scores, scores).dtype == torch.float32
