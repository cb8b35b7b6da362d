"""Layers on maps of a few voxels, kept out of bf16 on a CPU, where their gradients are garbage.

Measured (torch 2.13, oneDNN, AVX512-BF16), a weight gradient in bf16 holds whatever lay in memory

- where a padded convolution of stride one answers with no more voxels along the first axis than
  its two paddings add there: up to two for a kernel of three, up to four for one of five;
- where one of four voxels and stride two answers with two to four voxels along the first axis and
  one along the second; a transposed one likewise, by what it is given.

In fp32 all are sound, and maps this small cost no more, since reading the weights is what costs. On
other devices nothing changes. Layers on larger maps are kept clear of this by `sizes` alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def run_soundly(layer: nn.Module, features: Tensor, *, length: int, sound_from: int = 5) -> Tensor:
    """Return the layer's answer by kernels whose gradient is sound.

    `length` is the first axis of the layer's coarser side, in voxels; below `sound_from` of them a
    CPU computes in fp32.
    """
    answer: Tensor
    small = features.device.type == "cpu" and length < sound_from
    if small and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            answer = layer(features.float())
    else:
        answer = layer(features)
    return answer
