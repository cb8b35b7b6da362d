"""The context-aware generator: nine convolutions at full resolution, given a margin of context."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from medgen.networks.generator import Generator, GeneratorBlock
from medgen.networks.head import Activation, Head

MARGIN = 8


class ContextFCNOptions(GeneratorBlock):
    """The fully convolutional network of Nie et al.: 32 voxels of the source become 16.

    It never halves the grid, so a voxel of an answer costs many times what `unet` asks for it.
    """

    name: Literal["context_fcn"] = "context_fcn"
    channels: Annotated[int, Field(ge=1)] = 32
    """Features of the outer layers; the inner three have twice as many."""

    @property
    def divisor(self) -> int:
        """Return what every axis must be a multiple of: any length will do."""
        return 1

    @property
    def minimum_patch(self) -> int:
        """Return the shortest axis of a patch's answer; see `sizes`."""
        return 3

    @property
    def minimum_window(self) -> int:
        """Return the shortest axis of an answer outside of training."""
        return 1

    @property
    def margin(self) -> int:
        """Return the voxels of the source that an answer lacks: four for each kernel of nine."""
        return MARGIN

    def build(
        self, *, source_channels: int, target_channels: int, activation: Activation
    ) -> ContextFCN:
        """Return a freshly initialised generator.

        Raises:
            ConfigurationError: E_LONG_RESIDUAL, the source cannot be added to the answer.
        """
        return ContextFCN(
            self,
            source_channels=source_channels,
            target_channels=target_channels,
            activation=activation,
        )


class ContextFCN(Generator):
    """Generate (B, target, X - 16, Y - 16, Z - 16) from (B, source, X, Y, Z).

    Nie et al., Medical image synthesis with context-aware GANs, MICCAI 2017 and TBME 2018, by the
    layers of the authors' code: kernels 9, 3, 3, 3, 9, 3, 3, 3, 3, where those of nine are not
    padded and consume the margin. Those of three are padded with zeros, so a voxel of an answer
    sees 15 voxels to each side, and the seven next to a window's border miss some of that: windows
    agree to the last digit further in, and overlapping ones are averaged.
    """

    def __init__(
        self,
        options: ContextFCNOptions,
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
        narrow, wide = options.channels, 2 * options.channels
        self.body = nn.Sequential(
            normalised_convolution(source_channels, narrow, kernel=9, padding=0),
            normalised_convolution(narrow, narrow, kernel=3, padding=1),
            normalised_convolution(narrow, narrow, kernel=3, padding=1),
            normalised_convolution(narrow, narrow, kernel=3, padding=1),
            normalised_convolution(narrow, wide, kernel=9, padding=0),
            normalised_convolution(wide, wide, kernel=3, padding=1),
            normalised_convolution(wide, wide, kernel=3, padding=1),
            normalised_convolution(wide, narrow, kernel=3, padding=1),
        )
        self.head = Head(narrow, target_channels, activation, kernel=3)

    def compute(self, source: Tensor) -> Tensor:
        """Return the head's answer, less the margin."""
        answer: Tensor = self.head(self.body(source))
        return answer


def normalised_convolution(
    sources: int, features: int, *, kernel: int, padding: int
) -> nn.Sequential:
    """Return convolution, batch norm without scale and centre, and ReLU, as the authors' code.

    The code's convolutions have biases, which the norm takes away again: they are left out.
    """
    return nn.Sequential(
        nn.Conv3d(sources, features, kernel_size=kernel, padding=padding, bias=False),
        nn.BatchNorm3d(features, affine=False),
        nn.ReLU(inplace=True),
    )
