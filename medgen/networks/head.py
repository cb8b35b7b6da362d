"""The last layer of a network: always in fp32."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from medgen.networks.reflection import reflected

Kernel = Literal[1, 3]
"""Voxels per axis that one voxel of the answer is computed from, as U-Nets have it."""

Padding = Literal["zeros", "reflect"]
"""What a kernel reads beyond the border; reflection needs more voxels than the kernel's half."""

Activation = Literal["tanh", "linear"]
"""tanh for targets with a fixed window; linear for every unbounded scale."""


class Head(nn.Module):
    """Turn features into an answer by one convolution and its activation, outside autocast.

    A bf16 answer over 4024 HU steps soft tissue by up to 4 HU, so the body may run in bf16, this
    layer never. It is also the answer's only layer without a norm after it: a norm would tie the
    level of an answer to what else lies in the patch.

    A kernel of three has 27 times the weights to set the answer's level with, so it learns that in
    fewer steps under an optimizer whose steps have a given length, as Adam's.
    """

    def __init__(
        self,
        features: int,
        channels: int,
        activation: Activation,
        *,
        kernel: int = 1,
        padding: Padding = "zeros",
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.reflection = kernel // 2 if padding == "reflect" else 0
        self.convolution = nn.Conv3d(
            features, channels, kernel_size=kernel, padding=kernel // 2 - self.reflection
        )
        self.activation: Activation = activation

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, F, X, Y, Z) to a fresh float32 answer (B, C, X, Y, Z)."""
        with torch.autocast(features.device.type, enabled=False):
            # On a CPU a wide convolution to one channel takes half the time from this layout.
            layout = torch.channels_last_3d if self.kernel > 1 else torch.preserve_format
            features = features.to(torch.float32, memory_format=layout)
            if self.reflection:
                features = reflected(features, self.reflection)
            answer: Tensor = self.convolution(features)
            return answer.tanh() if self.activation == "tanh" else answer
