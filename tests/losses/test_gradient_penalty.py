"""The gradient penalty against hand computations and against differences of differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from medgen.losses import gradient_penalty

SHAPE = (3, 2, 4, 3, 2)


def pair(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(SHAPE, generator=generator, dtype=dtype), torch.randn(
        SHAPE, generator=generator, dtype=dtype
    )


@pytest.mark.parametrize("slope", [0.0, 0.25, 1.0, 3.0])
def test_of_a_linear_critic_it_is_known_by_hand(slope: float) -> None:
    """The gradient has `slope` at each of the 48 values: its norm runs over all of them."""
    real, fake = pair()
    weight = torch.full((), slope, requires_grad=True)
    penalty = gradient_penalty(lambda image: weight * image.flatten(1).sum(1), real, fake)
    norm = slope * math.sqrt(48)
    assert penalty.item() == pytest.approx((norm - 1) ** 2, rel=1e-5)
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert gradient.isfinite()  # also of a flat critic, whose slope has no direction
    if slope > 0:
        assert gradient.item() == pytest.approx(2 * (norm - 1) * math.sqrt(48), rel=1e-5)


def test_each_sample_has_a_slope_of_its_own() -> None:
    """Slopes 1 and 3 cost (0 + 4) / 2; the norm of the batch would cost something else."""
    real, fake = pair()
    slopes = torch.tensor([1.0, 3.0]) / math.sqrt(48)
    penalty = gradient_penalty(lambda image: slopes * image.flatten(1).sum(1), real[:2], fake[:2])
    assert penalty.item() == pytest.approx(2.0, rel=1e-5)


def test_its_gradient_by_the_weights_is_that_of_finite_differences() -> None:
    """Double backward, through a critic with a layer norm; in float64, so that steps are small."""
    torch.manual_seed(0)
    critic = nn.Sequential(
        nn.Conv3d(2, 4, 3, padding=1), nn.GroupNorm(1, 4), nn.Softplus(), nn.Flatten()
    ).double()
    real, fake = pair(torch.float64)

    def penalty() -> Tensor:
        torch.manual_seed(1)  # the same points between
        return gradient_penalty(critic, real, fake)

    for parameter in critic.parameters():
        (exact,) = torch.autograd.grad(penalty(), parameter)
        flat = parameter.data.view(-1)
        for index in range(0, flat.numel(), max(1, flat.numel() // 5)):
            kept, values = float(flat[index]), []
            for step in (1e-5, -1e-5):
                flat[index] = kept + step
                values.append(penalty().item())
            flat[index] = kept
            measured = (values[0] - values[1]) / 2e-5
            assert measured == pytest.approx(float(exact.flatten()[index]), rel=1e-4, abs=1e-7)


def test_points_lie_between_real_and_fake_by_a_share_of_their_own() -> None:
    seen: list[Tensor] = []

    def critic(image: Tensor) -> Tensor:
        seen.append(image.detach())
        return image.flatten(1).sum(1)

    torch.manual_seed(3)
    gradient_penalty(critic, torch.zeros(500, 1, 2, 2, 2), torch.ones(500, 1, 2, 2, 2))
    shares = seen[0].flatten(1)
    assert torch.equal(shares, shares[:, :1].expand_as(shares))
    assert 0 <= shares.min() < 0.02
    assert 0.98 < shares.max() <= 1
    assert shares.mean().item() == pytest.approx(0.5, abs=0.05)
    assert len(shares[:, 0].unique()) > 450


def test_autocast_changes_nothing_and_images_get_no_gradient() -> None:
    real, fake = pair()
    fake.requires_grad_()
    critic = nn.Sequential(nn.Conv3d(2, 4, (3, 3, 2)), nn.Softplus(), nn.Flatten())
    values = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            values.append(gradient_penalty(critic, real, fake))
    assert torch.equal(*values)
    assert values[0].dtype == torch.float32
    values[0].backward()
    assert fake.grad is None
    assert critic[0].weight.grad is not None
