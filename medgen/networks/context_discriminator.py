"""The context-aware GAN's discriminator: is this patch, as a whole, from a real image?"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medgen.config import Strict
from medgen.networks.context_fcn import normalised_convolution
from medgen.networks.discriminator import Discriminator
from medgen.networks.small_maps import run_soundly

Units = Annotated[int, Field(ge=1)]
POOLED = 2
"""Voxels per axis that the linear layers are given."""


class ContextDiscriminatorOptions(Strict):
    """Convolutions of five voxels between poolings, then linear layers to one logit per patch."""

    name: Literal["context_discriminator"] = "context_discriminator"
    channels: Annotated[int, Field(ge=1)] = 32
    """Features after the first convolution; each of the three further ones doubles them."""
    hidden: Annotated[tuple[Units, ...], Field(min_length=1, max_length=4)] = (512, 128)
    """Units of the linear layers before the logit."""

    @property
    def minimum_patch(self) -> int:
        """Return the shortest axis of a patch: three halvings leave two voxels."""
        return int(2**3 * POOLED)

    def build(self, *, source_channels: int, target_channels: int) -> ContextDiscriminator:
        """Return a freshly initialised discriminator; the source is not looked at."""
        return ContextDiscriminator(self, target_channels=target_channels)


class ContextDiscriminator(Discriminator):
    """Judge an image alone, by one logit for the whole patch: (B, C, X, Y, Z) -> (B, 1).

    Nie et al., MICCAI 2017: three convolutions of five voxels, each with batch norm, ReLU and max
    pooling, a fourth without pooling, and linear layers. Departures: padding, without which a patch
    of 16 voxels would not reach the fourth, and an average over what a larger patch leaves.
    """

    def __init__(self, options: ContextDiscriminatorOptions, *, target_channels: int) -> None:
        super().__init__(options.name, minimum_patch=options.minimum_patch, batch_norm=True)
        widths = [options.channels * 2**number for number in range(4)]
        self.convolutions = nn.ModuleList(
            normalised_convolution(sources, features, kernel=5, padding=2)
            for sources, features in pairwise([target_channels, *widths])
        )
        units = [widths[-1] * POOLED**3, *options.hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(units):
            layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
        self.linear = nn.Sequential(*layers)
        self.head = nn.Linear(units[-1], 1)

    def logits(self, source: Tensor, image: Tensor) -> Tensor:
        """Return one logit (B, 1) for each image."""
        pooled = functional.adaptive_avg_pool3d(self.hidden(source, image)[-1], POOLED)
        units = self.linear(pooled.flatten(1))
        with torch.autocast(image.device.type, enabled=False):
            logits: Tensor = self.head(units.float())
        return logits

    def hidden(self, source: Tensor, image: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of the four convolutions, rectified and before pooling."""
        maps: list[Tensor] = []
        features = image
        for number, convolution in enumerate(self.convolutions):
            if number > 0:
                features = functional.max_pool3d(features, 2)
            features = run_soundly(convolution, features, length=features.shape[2])
            maps.append(features)
        return tuple(maps)
