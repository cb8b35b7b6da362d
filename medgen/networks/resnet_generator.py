"""The residual generator of CycleGAN in 3D: two halvings, residual blocks, two doublings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from monai.networks.utils import normal_init
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medgen.networks.generator import Generator, GeneratorBlock
from medgen.networks.head import Activation, Head
from medgen.networks.reflection import reflected

OuterKernel = Literal[3, 5, 7]
"""Voxels per axis of the first layer's kernel and of the last one's."""

SCALE = 4
"""Voxels of an answer, along an axis, that one voxel of the residual blocks' grid stands for."""

BLOCKS, MORE_BLOCKS, MORE_FROM = 6, 9, 256
"""The paper's blocks, and how many there are from which shortest axis on."""

FEWEST_BLOCKS = 3
"""With fewer the network would be little more than its outer layers, however small the patch."""


class ResNetGeneratorOptions(GeneratorBlock):
    """The residual network of CycleGAN: most of its layers work on a grid four times as coarse.

    It has no skips past that grid, so an answer is not its source passed on.
    """

    name: Literal["resnet_generator"] = "resnet_generator"
    channels: Annotated[int, Field(ge=1)] = 32
    """Features at full resolution, four times as many in the residual blocks; the paper has 64."""
    blocks: Annotated[int, Field(ge=1, le=32)] | None = None
    """Residual blocks; None: by the training patch, see `for_patch`."""
    kernel: OuterKernel = 7
    """Voxels per axis that the first layer and the last one read."""

    @property
    def divisor(self) -> int:
        """Return what every axis must be a multiple of: two halvings."""
        return SCALE

    @property
    def minimum_patch(self) -> int:
        """Return the shortest axis: two voxels in the blocks, for reflection and for the norm.

        What `sizes` tells of gradients in bf16 does not touch convolutions padded beforehand.
        """
        return 2 * SCALE

    @property
    def depth(self) -> int:
        """Return how many residual blocks are built: the paper's where no patch has decided."""
        return self.blocks or BLOCKS

    @property
    def receptive_field(self) -> int:
        """Return how many voxels along an axis one voxel of an answer is computed from.

        The outer layers add what their kernels read, the halvings 6 voxels, each block 16, and the
        doublings 12; by its place over the coarse grid a voxel has two more or fewer. Norms, which
        see all of a patch, do not count.
        """
        return 1 + 2 * (self.kernel - 1) + 6 + 16 * self.depth + 12

    def for_patch(self, patch: Sequence[int]) -> Self:
        """Return these options with as many blocks as suit training patches (X, Y, Z) in voxels.

        The paper's 6 where the shortest axis has fewer than 256 voxels and 9 from there on, or
        fewer: the most whose receptive field is no longer than that axis, since a voxel in the
        middle of a patch would learn from a block more what reflection makes up. At least 3. That
        makes 3 for patches of 64 voxels, 4 for 96 and, as in the paper, 6 for 128. A number that
        was given stays.
        """
        if self.blocks is not None:
            return self
        shortest = min(patch)
        blocks = MORE_BLOCKS if shortest >= MORE_FROM else BLOCKS
        chosen = self.model_copy(update={"blocks": blocks})
        while chosen.receptive_field > shortest and blocks > FEWEST_BLOCKS:
            blocks -= 1
            chosen = self.model_copy(update={"blocks": blocks})
        return chosen

    def build(
        self, *, source_channels: int, target_channels: int, activation: Activation
    ) -> ResNetGenerator:
        """Return a freshly initialised generator, of `depth` blocks.

        Raises:
            ConfigurationError: E_LONG_RESIDUAL, the source cannot be added to the answer.
        """
        return ResNetGenerator(
            self,
            source_channels=source_channels,
            target_channels=target_channels,
            activation=activation,
        )


class ResNetGenerator(Generator):
    """Generate by residual blocks at a quarter of the resolution.

    Johnson et al., Perceptual losses for real-time style transfer, ECCV 2016, as Zhu et al.,
    Unpaired image-to-image translation using cycle-consistent adversarial networks, ICCV 2017, have
    it: c7s1-C, d2C, d4C, blocks of two convolutions, u2C, uC, c7s1; instance norm without weights,
    ReLU, weights that start as N(0, 0.02). Departures: three dimensions; every layer is padded by
    reflection; features are doubled trilinearly and convolved, in place of convolutions with
    fractional strides, whose kernels overlap unevenly and print checkerboards (Odena et al.,
    Deconvolution and checkerboard artifacts, Distill 2016); no dropout; the last layer in fp32.
    """

    def __init__(
        self,
        options: ResNetGeneratorOptions,
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
        fine, middle, coarse = (options.channels * factor for factor in (1, 2, 4))
        self.stem = _Convolution(source_channels, fine, kernel=options.kernel)
        self.down = nn.ModuleList(
            [_Convolution(fine, middle, stride=2), _Convolution(middle, coarse, stride=2)]
        )
        self.blocks = nn.ModuleList(ResidualBlock(coarse) for _ in range(options.depth))
        self.up = nn.ModuleList([_Convolution(coarse, middle), _Convolution(middle, fine)])
        self.head = Head(
            fine, target_channels, activation, kernel=options.kernel, padding="reflect"
        )
        self.apply(normal_init)

    def compute(self, source: Tensor) -> Tensor:
        """Return the head's answer to the features after the last doubling."""
        features: Tensor = self.stem(source)
        for layer in (*self.down, *self.blocks):
            features = layer(features)
        for layer in self.up:
            features = layer(_doubled(features))
        answer: Tensor = self.head(features)
        return answer


class ResidualBlock(nn.Module):
    """Add two convolutions' answer to the features; nothing is rectified after the sum."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first = _Convolution(features, features)
        self.second = _Convolution(features, features, rectified=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, F, X, Y, Z) to as many."""
        answer: Tensor = features + self.second(self.first(features))
        return answer


class _Convolution(nn.Module):
    """Convolve what is padded by reflection, normalise, and rectify."""

    def __init__(
        self,
        sources: int,
        features: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        rectified: bool = True,
    ) -> None:
        super().__init__()
        self.width = kernel // 2
        # A bias would be taken away by the norm.
        self.convolution = nn.Conv3d(
            sources, features, kernel_size=kernel, stride=stride, bias=False
        )
        self.norm = nn.InstanceNorm3d(features)
        self.rectified = rectified

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, sources, X, Y, Z) to (B, features, X, Y, Z), over the stride."""
        answer: Tensor = self.norm(self.convolution(reflected(features, self.width)))
        return answer.relu_() if self.rectified else answer


def _doubled(features: Tensor) -> Tensor:
    """Return features on a grid twice as fine, between whose voxels they are linear."""
    return functional.interpolate(features, scale_factor=2, mode="trilinear", align_corners=False)
