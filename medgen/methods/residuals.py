"""What an anomaly answer is made of: residuals, and a score for the whole window."""

from __future__ import annotations

import torch
from torch import Tensor


def anomaly_of(image: Tensor, reconstruction: Tensor, score: Tensor) -> Tensor:
    """Return an answer (B, C + 1, X, Y, Z), fresh and in float32.

    The channels of `image` less `reconstruction`, both (B, C, X, Y, Z), then the score (B,) of
    each window at every of its voxels.
    """
    residual = image.float() - reconstruction.float()
    everywhere = score.float()[:, None, None, None, None].expand(-1, 1, *image.shape[2:])
    return torch.cat([residual, everywhere], dim=1)
