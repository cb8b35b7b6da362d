"""How far an encoder's latent distributions are from the one that latents are drawn from."""

from __future__ import annotations

from torch import Tensor

from medgen.losses.precision import at_least_float32


def normal_divergence(mean: Tensor, log_sigma: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of N(mean, sigma^2) from N(0, 1), of each sample.

    The sum over the latent's numbers, in nats, 0 at least: 1/2 sum (mean^2 + sigma^2 - log sigma^2
    - 1), Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014, appendix B. Its weight
    beside a *mean* over N voxels is beta / N where it is beta beside their sum.

    Args:
        mean: (B, latent).
        log_sigma: the logarithm of the standard deviation, the same shape.

    Returns:
        (B,).
    """
    mean, log_sigma = at_least_float32(mean), at_least_float32(log_sigma)
    log_variance = 2.0 * log_sigma
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1.0).sum(dim=1)
