"""Losses between the features that a network sees in an answer and in its truth.

Features are tuples of maps (B, C, X, Y, Z), one per layer; those of the truth come without
gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medgen.losses.precision import at_least_float32, without_autocast

Layers = Sequence[Tensor]

SMALLEST_NORM = 1e-4
"""Vectors of channels much shorter than this count as zero; the gradient stays finite there."""


def perceptual_loss(layers_of_prediction: Layers, layers_of_target: Layers) -> Tensor:
    """Sum over layers the mean absolute difference of the features.

    Armanious et al., MedGAN, 2020: the layers of the discriminator, the image itself being the
    first of them, each with weight 1.

    Args:
        layers_of_prediction: maps (B, C, X, Y, Z).
        layers_of_target: maps of the same shapes.

    Returns:
        A scalar.

    Raises:
        ValueError: the numbers of layers differ, or there is none.
    """
    terms = [
        (at_least_float32(mine) - at_least_float32(theirs)).abs().mean()
        for mine, theirs in _pairs(layers_of_prediction, layers_of_target)
    ]
    return torch.stack(terms).sum()


def style_loss(layers_of_prediction: Layers, layers_of_target: Layers) -> Tensor:
    """Sum over layers how far apart the correlations between channels are.

    Armanious et al., MedGAN, 2020 (after Gatys et al., CVPR 2016): the squared Frobenius distance
    of the Gram matrices over 4 d^2, each Gram matrix being the sum over the n voxels of one sample
    over n d, with d channels (the paper's h w d: its maps are images of depth d). The mean over the
    batch, each layer with weight 1.

    Args:
        layers_of_prediction: maps (B, C, X, Y, Z).
        layers_of_target: maps with the same samples and channels.

    Returns:
        A scalar.

    Raises:
        ValueError: the numbers of layers differ, or there is none.
    """
    terms = []
    for mine, theirs in _pairs(layers_of_prediction, layers_of_target):
        distance = (_gram(mine) - _gram(theirs)).square().sum((1, 2))
        terms.append(distance.mean() / (4.0 * mine.shape[1] ** 2))
    return torch.stack(terms).sum()


def anatomical_loss(layers_of_prediction: Layers, layers_of_target: Layers) -> Tensor:
    """Average over levels the mean absolute difference of the features' directions.

    The features of a frozen network that knows anatomy, each voxel's vector of channels divided by
    its Euclidean norm: the loss of the SynthRAD2025 winners (nnsyn's MAP; AFP without the norm).
    They sum over the levels; the mean lets a weight hold for segmenters of any depth.

    Args:
        layers_of_prediction: maps (B, C, X, Y, Z).
        layers_of_target: maps of the same shapes.

    Returns:
        A scalar.

    Raises:
        ValueError: the numbers of levels differ, or there is none.
    """
    terms = [
        (_directions(mine) - _directions(theirs)).abs().mean()
        for mine, theirs in _pairs(layers_of_prediction, layers_of_target)
    ]
    return torch.stack(terms).mean()


def _gram(features: Tensor) -> Tensor:
    """Return the Gram matrix (B, C, C) of each sample, over voxels and channels."""
    with without_autocast(features):
        vectors = at_least_float32(features).flatten(2)
        return vectors @ vectors.mT / (vectors.shape[1] * vectors.shape[2])


def _directions(features: Tensor) -> Tensor:
    """Return each voxel's vector of channels at length one, or shorter where it is almost zero."""
    features = at_least_float32(features)
    squared = features.square().sum(1, keepdim=True)
    return features * (squared + SMALLEST_NORM**2).rsqrt()


def _pairs(mine: Layers, theirs: Layers) -> list[tuple[Tensor, Tensor]]:
    """Return the layers two by two."""
    if len(mine) != len(theirs) or not mine:
        raise ValueError(f"{len(mine)} and {len(theirs)} layers of features cannot be compared")
    return list(zip(mine, theirs, strict=True))
