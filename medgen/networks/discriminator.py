"""What all discriminators share: how real and fake are judged together."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from medgen.networks.sizes import check_size


class Discriminator(nn.Module, ABC):
    """Judge images (B, C, X, Y, Z) given their sources: float32 logits, higher for real."""

    def __init__(self, name: str, *, minimum_patch: int, batch_norm: bool) -> None:
        super().__init__()
        self.name = name
        self.minimum_patch = minimum_patch
        self.batch_norm = batch_norm

    def forward(self, source: Tensor, image: Tensor) -> Tensor:
        """Return the logits of images given their sources.

        Raises:
            ConfigurationError: E_PATCH_SIZE, an axis is too short.
        """
        check_size(self.name, image.shape[2:], minimum=self.minimum_patch)
        return self.logits(source, image).float()

    def judge(self, source: Tensor, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of real and of fake images of the same sources.

        One pass is quicker than two, but a batch norm would let real and fake see each other.

        Raises:
            ConfigurationError: E_PATCH_SIZE, an axis is too short.
        """
        if self.batch_norm:
            return self(source, real), self(source, fake)
        both: Tensor = self(source.repeat(2, 1, 1, 1, 1), torch.cat([real, fake]))
        of_real, of_fake = both.chunk(2)
        return of_real, of_fake

    def features(self, source: Tensor, image: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of the hidden layers, the first layer's first; no logits among them.

        Raises:
            ConfigurationError: E_PATCH_SIZE, an axis is too short.
        """
        check_size(self.name, image.shape[2:], minimum=self.minimum_patch)
        return self.hidden(source, image)

    @abstractmethod
    def logits(self, source: Tensor, image: Tensor) -> Tensor:
        """Return the logits of images of a size it takes."""

    @abstractmethod
    def hidden(self, source: Tensor, image: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of the hidden layers for images of a size it takes."""
