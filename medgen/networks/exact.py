"""Last layers of any kind, always in fp32; `head` has the ones of image-to-image networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medgen.networks.head import Activation


class Exact(nn.Module):
    """Run one layer outside autocast, and bound what it answers where asked to."""

    def __init__(self, layer: nn.Module, activation: Activation = "linear") -> None:
        super().__init__()
        self.layer = layer
        self.activation: Activation = activation

    def forward(self, features: Tensor) -> Tensor:
        """Map features to a fresh float32 answer, in (-1, 1) under tanh."""
        with torch.autocast(features.device.type, enabled=False):
            answer: Tensor = self.layer(features.float())
            return answer.tanh() if self.activation == "tanh" else answer
