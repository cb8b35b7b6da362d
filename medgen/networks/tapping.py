"""Networks whose inner features can be read along with their answer, in one forward pass.

What a discriminator of domains looks at (Kamnitsas et al., IPMI 2017): maps of several layers, of
several resolutions, on one grid.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medgen.networks.generator import Generator, GeneratorBlock
from medgen.networks.head import Activation
from medgen.problems import ConfigurationError, Problem


class SegmenterBlock(GeneratorBlock, ABC):
    """The keys of a network whose features can be read, and which features it has."""

    @property
    @abstractmethod
    def taps(self) -> Mapping[str, int]:
        """Return the channels of each map of features, by its name."""

    @property
    @abstractmethod
    def default_taps(self) -> tuple[str, ...]:
        """Return the maps that are read where none are chosen."""

    def check_taps(self, names: Sequence[str]) -> None:
        """Refuse names of maps that the network lacks, or that are given twice.

        Raises:
            ConfigurationError: E_TAPS, with the names that it has.
        """
        known = ", ".join(self.taps)
        problems = [
            Problem("E_TAPS", f"{self.name} has no map {name!r}", f"known here: {known}")
            for name in dict.fromkeys(names)
            if name not in self.taps
        ]
        problems += [
            Problem("E_TAPS", f"the map {name!r} is named twice", f"name it once of {known}")
            for name in dict.fromkeys(names)
            if list(names).count(name) > 1
        ]
        if problems:
            raise ConfigurationError(problems)

    @abstractmethod
    def build(
        self, *, source_channels: int, target_channels: int, activation: Activation
    ) -> Tapped:
        """Return a freshly initialised network.

        Raises:
            ConfigurationError: E_LONG_RESIDUAL, the source cannot be added to the answer.
        """


class Tapped(Generator, ABC):
    """A generator that also gives away what it computed on the way to its answer."""

    def tap(self, source: Tensor, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the answer and the features of the maps named, of one forward pass.

        The answer is that of `forward`, bit for bit, in float32. The features are (B, C, x, y, z),
        in whatever type the network computes in: the maps one after the other, coarser ones
        repeated onto the grid that all of them share. Gradients flow through both.

        Args:
            source: (B, source, X, Y, Z).
            names: at least one, as `check_taps` passes them.

        Raises:
            ConfigurationError: E_PATCH_SIZE, an axis is too short or no multiple of the divisor.
        """
        self.check(source)
        computed, maps = self.compute_and_tap(source, names)
        return self.completed(computed, source), torch.cat(list(maps), dim=1)

    @abstractmethod
    def compute_and_tap(
        self, source: Tensor, names: Sequence[str]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Return what `compute` does, and the maps named, of one size and in their order."""


def repeated(features: Tensor, factor: int) -> Tensor:
    """Return features (B, C, X, Y, Z) on a grid `factor` times as fine, each voxel repeated.

    The nearest neighbour without arithmetic on positions, in the features' own type: torch's
    interpolation answers in float32 under autocast.
    """
    if factor == 1:
        return features
    batch, channels, x, y, z = features.shape
    split = features[:, :, :, None, :, None, :, None]
    spread = split.expand(batch, channels, x, factor, y, factor, z, factor)
    return spread.reshape(batch, channels, x * factor, y * factor, z * factor)
