"""U-Nets whose features can be read at every resolution of their decoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor

from medgen.networks.head import Activation, Head
from medgen.networks.tapping import SegmenterBlock, Tapped, repeated

LEVEL, ENCODER, BOTTOM = "level_", "encoder_", "bottom"
"""What the names of maps begin with, on the way up, on the way down and between; the number counts
halvings of the grid."""


class DecoderBlock(SegmenterBlock, ABC):
    """The keys of a U-Net.

    Its maps are the decoder's levels, `level_0` at full resolution, and the encoder's, which know
    more of how an image looks: what a network needs for its answer is all that its decoder keeps,
    and a lesion that it overlooks looks there as healthy tissue does.
    """

    @property
    @abstractmethod
    def decoder_channels(self) -> tuple[int, ...]:
        """Return the features of the decoder's levels, from full resolution down."""

    @property
    @abstractmethod
    def encoder_channels(self) -> Mapping[str, int]:
        """Return the features of the encoder's levels by their names, the bottom's last."""

    @property
    def taps(self) -> Mapping[str, int]:
        """Return the channels of each level, the decoder's first, by its name."""
        levels = {f"{LEVEL}{number}": width for number, width in enumerate(self.decoder_channels)}
        return levels | dict(self.encoder_channels)

    @property
    def default_taps(self) -> tuple[str, ...]:
        """Return every level but those at full resolution, which would cost the most."""
        return tuple(name for name in self.taps if not name.endswith("_0"))

    @abstractmethod
    def build(
        self, *, source_channels: int, target_channels: int, activation: Activation
    ) -> Decoder:
        """Return a freshly initialised network.

        Raises:
            ConfigurationError: E_LONG_RESIDUAL, the source cannot be added to the answer.
        """


class Decoder(Tapped):
    """A generator whose features can be read at every resolution of its decoder."""

    encoder_names: tuple[str, ...]
    """Of the encoder's features, as the options name them."""
    head: Head
    """Turns the finest features into the answer."""

    def compute(self, source: Tensor) -> Tensor:
        """Return the head's answer to the finest features."""
        answer: Tensor = self.head(self.levels_of(source)[0])
        return answer

    def decode(self, source: Tensor) -> tuple[Tensor, ...]:
        """Return the features of the decoder's levels, from full resolution down.

        Their channels are the options' `decoder_channels`; the head has not been applied.

        Raises:
            ConfigurationError: E_PATCH_SIZE, an axis is too short or no multiple of the divisor.
        """
        self.check(source)
        return self.levels_of(source)

    def compute_and_tap(
        self, source: Tensor, names: Sequence[str]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Return the head's answer, and the levels named on the grid of the finest of them."""
        down, up = self.walk(source)
        encoded = zip(self.encoder_names, down, strict=True)
        known = {f"{LEVEL}{number}": level for number, level in enumerate(up)} | dict(encoded)
        finest = max(known[name].shape[2] for name in names)
        maps = [repeated(known[name], finest // known[name].shape[2]) for name in names]
        return self.head(up[0]), maps

    def levels_of(self, source: Tensor) -> tuple[Tensor, ...]:
        """Return the decoder's features for a source of a size it takes, finest first."""
        return self.walk(source)[1]

    @abstractmethod
    def walk(self, source: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the encoder's features, the bottom's last, and the decoder's, finest first."""
