"""The U-Net of pix2pix in 3D: strided convolutions down to a single voxel and back."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from monai.networks.layers.utils import get_norm_layer
from monai.networks.utils import normal_init
from pydantic import Field
from torch import Tensor, nn

from medgen.networks.generator import Generator, GeneratorBlock
from medgen.networks.head import Activation
from medgen.networks.small_maps import run_soundly

Normalisation = Literal["batch", "instance"]


class Pix2PixUNetOptions(GeneratorBlock):
    """The 3D U-Net of Ea-GAN (seven levels: 128 voxels to one) and of low-dose PET before it (six).

    Every level halves the grid, so no feature is ever computed at full resolution: `levels` is the
    binary logarithm of the patch's shortest axis.
    """

    name: Literal["pix2pix_unet"] = "pix2pix_unet"
    channels: Annotated[int, Field(ge=1)] = 64
    """Features after the first convolution; each level doubles them, up to eight times."""
    levels: Annotated[int, Field(ge=2, le=9)] = 6
    """Halvings of the grid; every axis of a patch is a multiple of two to their power."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of features dropped on the way up between the widest levels, in training only.

    The paper's is 0.5; unlike pix2pix, an answer never depends on chance.
    """
    norm: Normalisation = "batch"

    @property
    def divisor(self) -> int:
        """Return what every axis must be a multiple of: one halving for each level."""
        return int(2**self.levels)

    @property
    def phase(self) -> int:
        """Return 1: on its own divisor a window as short as a patch would overlap no other."""
        return 1

    @property
    def minimum_patch(self) -> int:
        """Return the shortest axis of a patch: a single voxel at the bottom."""
        return self.divisor

    @property
    def features(self) -> tuple[int, ...]:
        """Return the features of each level, from half resolution down."""
        return tuple(self.channels * min(2**level, 8) for level in range(self.levels))

    def build(
        self, *, source_channels: int, target_channels: int, activation: Activation
    ) -> Pix2PixUNet:
        """Return a freshly initialised generator.

        Raises:
            ConfigurationError: E_LONG_RESIDUAL, the source cannot be added to the answer.
        """
        return Pix2PixUNet(
            self,
            source_channels=source_channels,
            target_channels=target_channels,
            activation=activation,
        )


class Pix2PixUNet(Generator):
    """Generate by a U-Net of convolutions of four voxels and stride two.

    Isola et al., CVPR 2017, in the 3D form of Wang et al., NeuroImage 2018, and Yu et al., Ea-GANs,
    TMI 2019: the first convolution and the innermost one bare, a norm after all others, leaky ReLU
    (0.2) on the way down and ReLU on the way up; no biases but the last, as in pix2pix with batch
    norm. Weights start as N(0, 0.02). The last transposed convolution gives the answer, in fp32.
    """

    def __init__(
        self,
        options: Pix2PixUNetOptions,
        *,
        source_channels: int,
        target_channels: int,
        activation: Activation,
    ) -> None:
        super().__init__(
            options,
            source_channels=source_channels,
            target_channels=target_channels,
            activation=activation,
        )
        features = options.features
        innermost = len(features) - 1
        self.down = nn.ModuleList(
            _down(
                (source_channels, *features)[level],
                features[level],
                # A norm of a single voxel, which the innermost level may have, is none.
                norm=options.norm if 0 < level < innermost else None,
                first=level == 0,
            )
            for level in range(len(features))
        )
        # From the bottom up; each meets the skipped features of its level, but the innermost.
        self.up = nn.ModuleList(
            _up(
                features[level] * (1 if level == innermost else 2),
                features[level - 1],
                norm=options.norm,
                dropout=options.dropout
                if level < innermost and features[level - 1] == features[level]
                else 0.0,
            )
            for level in range(innermost, 0, -1)
        )
        self.head = TransposedHead(2 * features[0], target_channels, activation)
        self.apply(normal_init)

    def compute(self, source: Tensor) -> Tensor:
        """Return the answer of the last transposed convolution."""
        skipped: list[Tensor] = []
        features = source
        for layer in self.down:
            features = run_soundly(layer, features, length=features.shape[2] // 2)
            skipped.append(features)
        features = skipped.pop()
        for layer in self.up:
            features = run_soundly(layer, features, length=features.shape[2])
            features = torch.cat([skipped.pop(), features], dim=1)
        answer: Tensor = self.head(features)
        return answer


class TransposedHead(nn.Module):
    """Turn features at half resolution into an answer by a transposed convolution in fp32."""

    def __init__(self, features: int, channels: int, activation: Activation) -> None:
        super().__init__()
        self.convolution = nn.ConvTranspose3d(
            features, channels, kernel_size=4, stride=2, padding=1
        )
        self.activation: Activation = activation

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, F, X, Y, Z) to a fresh float32 answer (B, C, 2X, 2Y, 2Z)."""
        with torch.autocast(features.device.type, enabled=False):
            answer: Tensor = self.convolution(features.float().relu())
            return answer.tanh() if self.activation == "tanh" else answer


# Activations may overwrite their input: what a level skips is rectified on the way up anyway, and
# a ReLU after a leaky ReLU is that ReLU.
def _down(sources: int, features: int, *, norm: str | None, first: bool) -> nn.Sequential:
    """Return one level down: halve the grid."""
    layers: list[nn.Module] = [] if first else [nn.LeakyReLU(0.2, inplace=True)]
    layers.append(nn.Conv3d(sources, features, kernel_size=4, stride=2, padding=1, bias=False))
    if norm is not None:
        layers.append(get_norm_layer(norm, spatial_dims=3, channels=features))
    return nn.Sequential(*layers)


def _up(sources: int, features: int, *, norm: str, dropout: float) -> nn.Sequential:
    """Return one level up: double the grid."""
    layers: list[nn.Module] = [
        nn.ReLU(inplace=True),
        nn.ConvTranspose3d(sources, features, kernel_size=4, stride=2, padding=1, bias=False),
        get_norm_layer(norm, spatial_dims=3, channels=features),
    ]
    if dropout > 0:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)
