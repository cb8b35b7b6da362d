"""The U-Net with a residual encoder, in nnU-Net's manner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from monai.networks.blocks.convolutions import Convolution
from monai.networks.blocks.dynunet_block import UnetResBlock
from monai.networks.blocks.upsample import UpSample
from pydantic import Field, model_validator
from torch import Tensor, nn

from medgen.networks.decoder import BOTTOM, ENCODER, Decoder, DecoderBlock
from medgen.networks.head import Activation, Head
from medgen.networks.small_maps import run_soundly

Count = Annotated[int, Field(ge=1)]
Stages = Annotated[tuple[Count, ...], Field(min_length=2, max_length=8)]

NEGATIVE_SLOPE = 0.01
NORM = ("instance", {"affine": True})


class ResidualEncoderUNetOptions(DecoderBlock):
    """A 3D U-Net with many residual blocks on the way down and few convolutions on the way up.

    Its first stage is at full resolution, which makes it several times dearer than `unet`.
    """

    name: Literal["residual_encoder_unet"] = "residual_encoder_unet"
    channels: Stages = (32, 64, 128, 256, 320, 320)
    """Features per stage, from full resolution down; each stage but the first halves the grid."""
    blocks: Stages = (1, 3, 4, 6, 6, 6)
    """Residual blocks of two convolutions per stage; as many numbers as channels."""
    decoder_convolutions: Annotated[int, Field(ge=1, le=8)] = 2
    """Convolutions per level of the decoder."""

    @model_validator(mode="after")
    def _blocks_match_channels(self) -> ResidualEncoderUNetOptions:
        if len(self.blocks) != len(self.channels):
            raise ValueError(
                f"blocks has {len(self.blocks)} stages and channels {len(self.channels)}: "
                "give both as many numbers"
            )
        return self

    @property
    def divisor(self) -> int:
        """Return what every axis must be a multiple of: a halving for each stage but the first."""
        return int(2 ** (len(self.channels) - 1))

    @property
    def minimum_patch(self) -> int:
        """Return the shortest axis of a patch: an instance norm needs two voxels at the bottom."""
        return 2 * self.divisor

    @property
    def decoder_channels(self) -> tuple[int, ...]:
        """Return the features of the decoder's levels, from full resolution down."""
        return self.channels[:-1]

    @property
    def encoder_channels(self) -> Mapping[str, int]:
        """Return the features of the encoder's stages, the coarsest last."""
        *widths, bottom = self.channels
        levels = {f"{ENCODER}{number}": width for number, width in enumerate(widths)}
        return levels | {BOTTOM: bottom}

    def build(
        self, *, source_channels: int, target_channels: int, activation: Activation
    ) -> ResidualEncoderUNet:
        """Return a freshly initialised generator.

        Raises:
            ConfigurationError: E_LONG_RESIDUAL, the source cannot be added to the answer.
        """
        return ResidualEncoderUNet(
            self,
            source_channels=source_channels,
            target_channels=target_channels,
            activation=activation,
        )


class ResidualEncoderUNet(Decoder):
    """Generate by a U-Net with a residual encoder and a trilinear decoder.

    Encoder: Isensee et al., nnU-Net Revisited, MICCAI 2024, with MONAI's residual block, whose
    bridge over a halving is a strided convolution where nnU-Net averages first. Decoder: features
    are mixed and then enlarged trilinearly, as in the SynthRAD2025 entries that learned from
    nnU-Net, so that no answer shows the checkerboard of transposed convolutions. Instance norm,
    leaky ReLU. Weights start as He et al., ICCV 2015; every residual block as its bridge alone.
    """

    def __init__(
        self,
        options: ResidualEncoderUNetOptions,
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
        channels = options.channels
        self.stem = _convolution(source_channels, channels[0])
        self.stages = nn.ModuleList(
            _stage((channels[0], *channels)[number], width, blocks, halving=number > 0)
            for number, (width, blocks) in enumerate(zip(channels, options.blocks, strict=True))
        )
        self.levels = nn.ModuleList(
            _Level(deeper, width, options.decoder_convolutions)
            for deeper, width in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.apply(_initialise)
        self.head = Head(channels[0], target_channels, activation)
        self.encoder_names = tuple(options.encoder_channels)

    def walk(self, source: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the encoder's features, the bottom's last, and the decoder's, finest first."""
        features = self.stem(source)
        skipped: list[Tensor] = []
        for number, stage in enumerate(self.stages):
            length = features.shape[2] // (2 if number else 1)
            features = run_soundly(stage, features, length=length, sound_from=3)
            skipped.append(features)
        encoded = tuple(skipped)
        decoded = [skipped.pop()]
        for level in self.levels:
            decoded.append(level(decoded[-1], skipped.pop()))
        return encoded, tuple(decoded[:0:-1])


class _Level(nn.Module):
    """Enlarge deeper features, join those skipped, and convolve."""

    def __init__(self, deeper: int, width: int, convolutions: int) -> None:
        super().__init__()
        # Mixing channels and enlarging commute; the first is eight times cheaper before.
        self.enlarge = UpSample(
            spatial_dims=3,
            in_channels=deeper,
            out_channels=width,
            mode="nontrainable",
            pre_conv=nn.Conv3d(deeper, width, kernel_size=1),
            align_corners=False,
        )
        self.convolutions = nn.Sequential(
            *(
                _convolution(2 * width if number == 0 else width, width)
                for number in range(convolutions)
            )
        )

    def forward(self, deeper: Tensor, skipped: Tensor) -> Tensor:
        """Return features on the grid of the skipped ones."""
        joined = torch.cat([self.enlarge(deeper).to(skipped.dtype), skipped], dim=1)
        return run_soundly(self.convolutions, joined, length=skipped.shape[2], sound_from=3)


def _convolution(sources: int, features: int) -> Convolution:
    """Return a convolution of three voxels with norm and activation."""
    return Convolution(
        spatial_dims=3,
        in_channels=sources,
        out_channels=features,
        norm=NORM,
        act=("leakyrelu", {"negative_slope": NEGATIVE_SLOPE, "inplace": True}),
        bias=False,  # the norm would take it away
    )


def _stage(sources: int, features: int, blocks: int, *, halving: bool) -> nn.Sequential:
    """Return one stage's residual blocks, of which the first may halve the grid."""
    return nn.Sequential(
        *(
            UnetResBlock(
                spatial_dims=3,
                in_channels=features if number else sources,
                out_channels=features,
                kernel_size=3,
                stride=2 if halving and number == 0 else 1,
                norm_name=NORM,
                act_name=("leakyrelu", {"negative_slope": NEGATIVE_SLOPE, "inplace": True}),
            )
            for number in range(blocks)
        )
    )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, a=NEGATIVE_SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, UnetResBlock):
        nn.init.zeros_(module.norm2.weight)
