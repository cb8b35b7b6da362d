"""Masks in losses: means that are renormalised, and images whose outside is hidden."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Average values (B, C, X, Y, Z), over the voxels of a mask (B, 1, X, Y, Z) where one is given.

    The mean is renormalised: a constant gives itself, however small the mask, where multiplying by
    the mask and averaging over the patch would give the mask's share of it. Weights between 0 and
    1 count in proportion. Returns a scalar; 0, with zero gradients, where the mask is empty in the
    whole batch.
    """
    if mask is None:
        return values.mean()
    weight = mask.to(values.dtype).expand_as(values)
    # Below one voxel the sum cannot be told from none: no division by (almost) zero.
    return (values * weight).sum() / weight.sum().clamp(min=1.0)


def hide_outside(image: Tensor, mask: Tensor, value: float | Tensor = -1.0) -> Tensor:
    """Return an image (B, C, X, Y, Z) with one value outside a mask (B, 1, X, Y, Z).

    A voxel is inside where the mask is above one half. The value may be one for each channel,
    (1, C, 1, 1, 1); the default is the low end of an encoded scale. For losses that look at a
    voxel's surroundings (edges, SSIM, features of a network), the prediction and the target are
    both hidden: what lies outside then has neither value nor gradient, and the outline is the same
    in both.
    """
    return torch.where(mask > 0.5, image, value)
