"""Losses between class logits and a label map."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy_loss(logits: Tensor, label: Tensor, mask: Tensor | None = None) -> Tensor:
    """Average the cross-entropy over voxels, over the mask's where one is given.

    Args:
        logits: (B, K, X, Y, Z), the background's first.
        label: (B, 1, X, Y, Z) class indices, int64.
        mask: (B, 1, X, Y, Z), 0 or 1.

    Returns:
        A scalar in nats; 0, with zero gradients, where the mask is empty in the whole batch.
    """
    entropy = functional.cross_entropy(logits.float(), label[:, 0], reduction="none")
    if mask is None:
        return entropy.mean()
    weight = mask[:, 0].to(entropy.dtype)
    return (entropy * weight).sum() / weight.sum().clamp(min=1.0)


def dice_loss(logits: Tensor, label: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return one minus the mean soft Dice of the foreground classes.

    Soft Dice as in Drozdzal et al., The importance of skip connections in biomedical image
    segmentation, 2016, with sums over the whole batch, so that a patch without a class does not
    weigh as much as one with it. A class that neither the labels nor the answer of a batch hold
    costs nothing; one that only the answer holds is left to the cross-entropy, since its Dice is
    zero however little of it there is.

    Args:
        logits: (B, K, X, Y, Z), the background's first.
        label: (B, 1, X, Y, Z) class indices, int64.
        mask: (B, 1, X, Y, Z), 0 or 1.

    Returns:
        A scalar in [0, 1]; 0 where no foreground class is labelled in the batch.
    """
    shares = logits.float().softmax(dim=1)
    weight = torch.ones_like(shares[:, :1]) if mask is None else mask.to(shares.dtype)
    classes, held = shares.shape[1], label.flatten()
    # Of each voxel only its own class's share meets the truth: no one-hot map is made, which would
    # take as much memory as the shares for every class.
    own = (shares.gather(1, label) * weight).flatten()
    common = own.new_zeros(classes).index_add(0, held, own)[1:]
    sizes = own.new_zeros(classes).index_add(0, held, weight.flatten())[1:]
    claimed = (shares * weight).sum((0, 2, 3, 4))[1:]
    dice = 2 * common / (claimed + sizes).clamp(min=1.0)
    present = (sizes > 0).to(dice.dtype)
    missed: Tensor = ((1 - dice) * present).sum() / present.sum().clamp(min=1.0)
    return missed


def shrink_label(label: Tensor, size: torch.Size) -> Tensor:
    """Return a label (or mask) map (B, 1, X, Y, Z) at a coarser size by nearest neighbour."""
    if label.shape[2:] == size:
        return label
    smaller = functional.interpolate(label.float(), size=tuple(size), mode="nearest-exact")
    return smaller.to(label.dtype)
