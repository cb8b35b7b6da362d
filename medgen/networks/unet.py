"""The U-Net generator: MONAI's residual U-Net as the body, an fp32 head on top."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from monai.networks.layers.simplelayers import SkipConnection
from monai.networks.nets.unet import UNet as ResidualUNet
from pydantic import Field
from torch import Tensor, nn

from medgen.networks.decoder import BOTTOM, ENCODER, Decoder, DecoderBlock
from medgen.networks.head import Activation, Head, Kernel

Channels = Annotated[int, Field(ge=1)]
Levels = Annotated[tuple[Channels, ...], Field(min_length=2, max_length=8)]


class UNetOptions(DecoderBlock):
    """A 3D U-Net with residual units and instance norm, as MONAI builds it.

    Each level but the last halves the grid, the first one too: full resolution is met only by the
    last, transposed convolution, which makes this net many times cheaper than one that starts at
    full resolution.
    """

    name: Literal["unet"] = "unet"
    channels: Levels = (32, 64, 128, 256)
    """Features per level, from half resolution down."""
    features: Channels = 16
    """Features at full resolution, from which the head computes the answer."""
    head_kernel: Kernel = 1
    """Kernel of the last layer; 3 costs a quarter more time per step and needs fewer steps."""
    residual_units: Annotated[int, Field(ge=0, le=8)] = 2
    """Convolutions per encoder level, bridged by a residual connection; 0 leaves one, unbridged."""
    upsampling: Literal["transposed", "resize"] = "transposed"
    """How the decoder doubles the grid. Transposed convolutions are cheaper; where no truth is at
    hand, voxel by voxel, they leave a checkerboard, which resizing before a convolution does not.
    """
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of features that are dropped, in training only."""

    @property
    def divisor(self) -> int:
        """Return what every axis must be a multiple of: one halving for each level but the last."""
        return int(2 ** (len(self.channels) - 1))

    @property
    def minimum_patch(self) -> int:
        """Return the shortest axis of a training patch: three voxels at the bottom; see `sizes`."""
        return 3 * self.divisor

    @property
    def minimum_window(self) -> int:
        """Return the shortest axis of a window: an instance norm needs two voxels at the bottom."""
        return 2 * self.divisor

    @property
    def decoder_channels(self) -> tuple[int, ...]:
        """Return the features of the decoder's levels, from full resolution down."""
        return (self.features, *self.channels[:-2])

    @property
    def encoder_channels(self) -> Mapping[str, int]:
        """Return the features of the encoder's levels; the bottom is as coarse as the last."""
        *widths, bottom = self.channels
        levels = {f"{ENCODER}{number}": width for number, width in enumerate(widths, start=1)}
        return levels | {BOTTOM: bottom}

    def build(self, *, source_channels: int, target_channels: int, activation: Activation) -> UNet:
        """Return a freshly initialised generator.

        Raises:
            ConfigurationError: E_LONG_RESIDUAL, the source cannot be added to the answer.
        """
        return UNet(
            self,
            source_channels=source_channels,
            target_channels=target_channels,
            activation=activation,
        )


class UNet(Decoder):
    """Generate by a U-Net whose levels are residual units.

    Residual units: Kerfoot et al., Left-ventricle quantification using residual U-Net, STACOM 2018.
    """

    def __init__(
        self,
        options: UNetOptions,
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
        self.encoder_names = tuple(options.encoder_channels)
        body = _ResizingBody if options.upsampling == "resize" else _Body
        self.body = body(
            spatial_dims=3,
            in_channels=source_channels,
            out_channels=options.features,
            channels=options.channels,
            strides=(2,) * (len(options.channels) - 1),
            num_res_units=options.residual_units,
            dropout=options.dropout,
        )
        self.head = Head(options.features, target_channels, activation, kernel=options.head_kernel)

    def compute(self, source: Tensor) -> Tensor:
        """Return the head's answer to the finest features."""
        answer: Tensor = self.head(self.body(source))
        return answer

    def walk(self, source: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the encoder's features, the bottom's last, and the decoder's, finest first."""
        down, up = _walked(self.body.model, source)
        return tuple(down), tuple(reversed(up))


def _walked(block: nn.Module, source: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Walk MONAI's nested blocks and return what each gives on the way down, and up again."""
    if (
        isinstance(block, nn.Sequential)
        and len(block) == 3
        and isinstance(block[1], SkipConnection)
    ):
        here = block[0](source)
        down, up = _walked(block[1].submodule, here)
        below = up[-1] if up else down[-1]
        return [here, *down], [*up, block[2](torch.cat([here, below], dim=1))]
    return [block(source)], []


class _Body(ResidualUNet):
    """MONAI's U-Net up to its last features.

    MONAI ends with a convolution without norm or activation, so that a head behind it would be a
    linear layer behind a linear layer, at a fifth of the whole cost. Here the top level ends with
    its transposed convolution, norm and activation, and the head convolves those. With MONAI's own
    ending, one feature at full resolution, the same training is left with more error (measured).
    """

    def _get_up_layer(
        self, in_channels: int, out_channels: int, strides: int, is_top: bool
    ) -> nn.Module:
        layer: nn.Module = super()._get_up_layer(in_channels, out_channels, strides, False)
        if is_top and isinstance(layer, nn.Sequential) and self.num_res_units > 0:
            return layer[0]
        return layer


class _ResizingBody(_Body):
    """The same with the transposed convolutions replaced.

    Odena, Dumoulin and Olah, Deconvolution and checkerboard artifacts, Distill 2016.
    """

    def _get_up_layer(
        self, in_channels: int, out_channels: int, strides: int, is_top: bool
    ) -> nn.Module:
        layer = super()._get_up_layer(in_channels, out_channels, strides, is_top)
        for module in layer.modules():
            if isinstance(getattr(module, "conv", None), nn.ConvTranspose3d):
                module.conv = nn.Sequential(
                    nn.Upsample(scale_factor=strides, mode="trilinear"),
                    nn.Conv3d(in_channels, out_channels, kernel_size=3, padding=1),
                )
        return layer
