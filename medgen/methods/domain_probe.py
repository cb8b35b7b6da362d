"""How well a fresh small network tells the domains of frozen features apart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

VOXELS = 2048
"""Drawn from each half of each domain, where it has as many."""
HIDDEN = 64
"""Units of the network's hidden layer, as in the weights of one linear probe per unit."""
EPOCHS = 12
BATCH = 256
LEARNING_RATE = 0.01
WEIGHT_DECAY = 1.0
"""Decoupled; where most channels say nothing, a tenth of it finds a fifth less in the others."""
CLAMP = 5.0
"""Standardised features end here: a channel that hardly varied in one half may in the other."""


def domain_probe(source: Tensor, target: Tensor, *, seed: int = 0) -> float:
    """Return how much better than by guessing a voxel's domain can be told from its features.

    The discriminator that a segmenter was trained against may be near chance because the domains
    are alike, or because it lost; a network fitted afresh tells which. It is fitted on voxels of
    one half of the patches, and its balanced accuracy is that on the other half, then the other
    way round; the mean of both is scaled so that guessing is 0. Ben-David et al., A theory of
    learning from different domains, Machine Learning 2010, call twice this figure the proxy
    A-distance. One hidden layer sees differences in spread and correlation, not only in mean.

    Features are (B, C, x, y, z), detached, in any unit; batches may differ in all but C. The first
    half of a batch must come from other cases than the second, or what is recognised are the cases;
    the middle patch of an odd number is left out. The figure depends on the features and the seed
    alone: the global generators are left as they are, and a surrounding no_grad or autocast has no
    effect. NaN where a feature that was drawn is not finite.

    Raises:
        ValueError: fewer than two patches, or other channels in the target than in the source.
    """
    if min(len(source), len(target)) < 2 or source.shape[1] != target.shape[1]:
        raise ValueError("a probe needs two patches of each domain, with the same channels")
    generator = torch.Generator().manual_seed(seed)
    first, second = _halves(source, target, generator)
    if not (first.isfinite().all() and second.isfinite().all()):
        return float("nan")
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast("cpu", enabled=False),
    ):
        accuracy = (_accuracy(first, second, generator) + _accuracy(second, first, generator)) / 2
    return max(0.0, 2 * accuracy - 1)


def _halves(source: Tensor, target: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Return voxels (2, V, C) of each half, those of the source first, in float32 on the CPU."""
    pairs = [
        (source[: len(source) // 2], target[: len(target) // 2]),
        (source[-(len(source) // 2) :], target[-(len(target) // 2) :]),
    ]
    voxels = min(VOXELS, *(half[:, 0].numel() for pair in pairs for half in pair))
    with torch.inference_mode(False), torch.no_grad():
        return [torch.stack([_draw(half, voxels, generator) for half in pair]) for pair in pairs]


def _draw(features: Tensor, voxels: int, generator: torch.Generator) -> Tensor:
    """Return different voxels (V, C) of features (B, C, x, y, z)."""
    grid = (features.shape[0], *features.shape[2:])
    drawn = torch.randperm(features[:, 0].numel(), generator=generator)[:voxels]
    patch, x, y, z = (index.to(features.device) for index in torch.unravel_index(drawn, grid))
    return features[patch, :, x, y, z].to("cpu", torch.float32, copy=True)


def _accuracy(fitted: Tensor, other: Tensor, generator: torch.Generator) -> float:
    """Return the balanced accuracy on other voxels (2, V, C) of a network fitted on some."""
    std, mean = torch.std_mean(fitted.double(), dim=(0, 1), correction=0)
    # A channel that is constant, up to rounding, says nothing.
    scale = torch.where(std > 1e-6 * mean.abs(), 1 / std, 0.0)

    def standardised(voxels: Tensor) -> Tensor:
        return ((voxels - mean) * scale).clamp(-CLAMP, CLAMP).float()

    weights = _fit(standardised(fitted), generator)
    of_source, of_target = _logits(standardised(other), weights)
    right = (of_source > 0).float().mean() + (of_target <= 0).float().mean()
    return float(right) / 2


def _fit(voxels: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Return the weights of a network whose logits are higher for the first of (2, V, C)."""
    _, count, channels = voxels.shape
    samples = voxels.flatten(0, 1)
    truth = torch.cat([torch.ones(count), torch.zeros(count)])
    weights = [
        torch.randn(HIDDEN, channels, generator=generator) * (2 / max(channels, 1)) ** 0.5,
        torch.zeros(HIDDEN),
        torch.randn(1, HIDDEN, generator=generator) / HIDDEN**0.5,
        torch.zeros(1),
    ]
    for weight in weights:
        weight.requires_grad_()
    optimizer = torch.optim.AdamW(weights, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(EPOCHS):
        order = torch.randperm(len(samples), generator=generator)
        for start in range(0, len(samples), BATCH):
            batch = order[start : start + BATCH]
            loss = functional.binary_cross_entropy_with_logits(
                _logits(samples[batch], weights), truth[batch]
            )
            gradients = torch.autograd.grad(loss, weights)
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient
            optimizer.step()
    return [weight.detach() for weight in weights]


def _logits(voxels: Tensor, weights: list[Tensor]) -> Tensor:
    """Return one logit for each voxel of (..., C)."""
    inner, inner_bias, outer, outer_bias = weights
    hidden = functional.leaky_relu(functional.linear(voxels, inner, inner_bias), 0.1)
    return functional.linear(hidden, outer, outer_bias).squeeze(-1)
