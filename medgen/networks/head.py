"""The last layer of a network: always in fp32."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Activation = Literal["tanh", "linear"]
"""tanh for targets with a fixed window; linear for every unbounded scale."""


class Head(nn.Module):
    """Turn features into an answer by one convolution and its activation, outside autocast.

    A bf16 answer over 4024 HU steps soft tissue by up to 4 HU, so the body may run in bf16, this
    layer never. It is also the answer's only layer without a norm after it: a norm would tie the
    level of an answer to what else lies in the patch.
    """

    def __init__(self, features: int, channels: int, activation: Activation) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(features, channels, kernel_size=1)
        self.activation: Activation = activation

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, F, X, Y, Z) to a fresh float32 answer (B, C, X, Y, Z)."""
        with torch.autocast(features.device.type, enabled=False):
            answer: Tensor = self.convolution(features.float())
            return answer.tanh() if self.activation == "tanh" else answer
