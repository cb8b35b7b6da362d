"""Wasserstein losses, on a critic's scores, which are higher for real images.

Arjovsky et al., Wasserstein generative adversarial networks, ICML 2017, section 3. They have no
bounds: a critic needs a penalty of its slope beside them (`gradient_penalty`).
"""

from __future__ import annotations

from torch import Tensor

from medgen.losses.precision import at_least_float32


def wasserstein_critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Reward a critic for scores that are higher on real images than on fakes.

    `real` and `fake` are scores of any shape; a scalar is returned, which estimates the negative
    distance between the two distributions.
    """
    return at_least_float32(fake).mean() - at_least_float32(real).mean()


def wasserstein_generator_loss(fake: Tensor) -> Tensor:
    """Reward a generator for high scores on its fakes, of any shape; a scalar is returned."""
    return -at_least_float32(fake).mean()
