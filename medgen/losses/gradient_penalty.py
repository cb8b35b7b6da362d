"""The gradient penalty of WGAN-GP, which keeps a critic's slope near one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from medgen.losses.precision import at_least_float32, without_autocast


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Average the squared distance from one of the critic's slope between real and fake images.

    Gulrajani et al., Improved training of Wasserstein GANs, NeurIPS 2017, algorithm 1: one point
    on the line between the images of each pair, uniformly, drawn anew in each call from torch's
    global generator; the slope is the norm of the gradient over all axes but the batch's. The
    critic runs in float32 outside autocast and must not mix samples, as a batch norm would. The
    answer can be differentiated by the critic's weights, not by the images.

    Args:
        critic: from images (B, C, X, Y, Z) to scores of any shape, (B, ...).
        real: images (B, C, X, Y, Z).
        fake: images of the same shape.

    Returns:
        A scalar, 0 at least.
    """
    with torch.enable_grad(), without_autocast(real):
        real, fake = at_least_float32(real.detach()), at_least_float32(fake.detach())
        each = (len(real), *(1,) * (real.dim() - 1))
        share = torch.rand(each, dtype=real.dtype, device=real.device)
        between = torch.lerp(real, fake, share).requires_grad_()
        # Every sample's score depends on itself alone: the sum's gradient is each one's own.
        scores = at_least_float32(critic(between)).sum()
        (gradient,) = torch.autograd.grad(scores, between, create_graph=True)
        slopes: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
        return (slopes - 1.0).square().mean()
