"""Losses that compare an answer with its truth voxel by voxel."""

from __future__ import annotations

from torch import Tensor


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
    difference = (prediction.float() - target.float()).abs()
    if mask is None:
        return difference.mean()
    weight = mask.to(difference.dtype).expand_as(difference)
    # Below one voxel the sum cannot be told from none: no division by (almost) zero.
    return (difference * weight).sum() / weight.sum().clamp(min=1.0)
