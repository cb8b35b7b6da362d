"""Losses that compare an answer with its truth voxel by voxel."""

from __future__ import annotations

from torch import Tensor

from medgen.losses.masking import masked_mean
from medgen.losses.precision import at_least_float32


def l1_loss(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Average the absolute difference, over the mask's voxels where one is given.

    The mean is renormalised: a constant error of one gives one, however small the mask, where
    multiplying by the mask and averaging over the patch would give the mask's share of it.

    Args:
        prediction: (B, C, X, Y, Z).
        target: the same shape.
        mask: (B, 1, X, Y, Z), 0 or 1; weights between them count in proportion.

    Returns:
        A scalar; 0, with zero gradients, where the mask is empty in the whole batch.
    """
    return masked_mean((at_least_float32(prediction) - at_least_float32(target)).abs(), mask)


def l2_loss(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Average the squared difference, over the mask's voxels where one is given.

    A mean, where Nie et al. (MICCAI 2017) sum over the voxels and halve: their
    sum (G - Y)^2 / (2 * batch) is N / 2 times this for patches of N voxels, so weights that were
    tuned beside their sum hold beside this mean after a division by N / 2.

    Args:
        prediction: (B, C, X, Y, Z).
        target: the same shape.
        mask: (B, 1, X, Y, Z), 0 or 1; weights between them count in proportion.

    Returns:
        A scalar; 0, with zero gradients, where the mask is empty in the whole batch.
    """
    return masked_mean((at_least_float32(prediction) - at_least_float32(target)).square(), mask)
