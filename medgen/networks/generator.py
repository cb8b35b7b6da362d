"""What all generators share: their sizes, their margin and the long residual connection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn

from medgen.config import Strict
from medgen.networks.head import Activation
from medgen.networks.sizes import check_size, trim
from medgen.problems import ConfigurationError, Problem


class GeneratorBlock(Strict, ABC):
    """The keys of every generator, and what a method asks of them before it builds."""

    name: str
    long_residual: bool = False
    """Answer with the source plus what the network computes (Nie et al., TBME 2018).

    For a target that looks like its source and shares a linear scale with it: full from low dose,
    7T from 3T. The source's first channels are taken, as many as the target has.
    """

    @property
    @abstractmethod
    def divisor(self) -> int:
        """Return what every axis of an answer must be a multiple of."""

    @property
    def phase(self) -> int:
        """Return what the starts of windows over a volume must be multiples of."""
        return self.divisor

    @property
    @abstractmethod
    def minimum_patch(self) -> int:
        """Return the shortest axis of a training patch's answer; see `sizes`."""

    @property
    def minimum_window(self) -> int:
        """Return the shortest axis of an answer outside of training."""
        return self.minimum_patch

    @property
    def margin(self) -> int:
        """Return the voxels of the source that an answer lacks, on each side."""
        return 0

    def for_patch(self, patch: Sequence[int]) -> Self:
        """Return these options with what they leave to the training patch (X, Y, Z) decided."""
        return self

    @abstractmethod
    def build(
        self, *, source_channels: int, target_channels: int, activation: Activation
    ) -> Generator:
        """Return a freshly initialised generator.

        Raises:
            ConfigurationError: E_LONG_RESIDUAL, the source cannot be added to the answer.
        """


class Generator(nn.Module, ABC):
    """Generate an image from an image: (B, source, X, Y, Z) -> (B, target, X, Y, Z) in float32.

    The answer lacks `margin` voxels of the source on each side.
    """

    def __init__(
        self,
        options: GeneratorBlock,
        *,
        source_channels: int,
        target_channels: int,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.name = options.name
        self.divisor = options.divisor
        self.minimum_patch = options.minimum_patch
        self.minimum_window = options.minimum_window
        self.margin = options.margin
        self.shortcut = target_channels if options.long_residual else 0
        if options.long_residual:
            _check_long_residual(source_channels, target_channels, activation)

    def forward(self, source: Tensor) -> Tensor:
        """Generate.

        Raises:
            ConfigurationError: E_PATCH_SIZE, an axis is too short or no multiple of the divisor.
        """
        self.check(source)
        return self.completed(self.compute(source), source)

    def completed(self, computed: Tensor, source: Tensor) -> Tensor:
        """Return the answer to a source from what the network computed of it."""
        if not self.shortcut:
            return computed
        return computed + trim(source[:, : self.shortcut], self.margin)

    @abstractmethod
    def compute(self, source: Tensor) -> Tensor:
        """Return the network's own answer, fresh and in float32, to a source of a size it takes."""

    def check(self, source: Tensor) -> None:
        """Refuse a source of a size that the network cannot take.

        Raises:
            ConfigurationError: E_PATCH_SIZE, an axis is too short or no multiple of the divisor.
        """
        minimum = self.minimum_patch if self.training else self.minimum_window
        answered = [length - 2 * self.margin for length in source.shape[2:]]
        check_size(self.name, answered, minimum=minimum, divisor=self.divisor)


def _check_long_residual(
    source_channels: int, target_channels: int, activation: Activation
) -> None:
    if activation == "tanh":
        raise ConfigurationError(
            Problem(
                "E_LONG_RESIDUAL",
                "long_residual adds the source to the answer, but a target on a window scale is "
                "answered through a tanh, which bounds it",
                "give the target scale: shared (with its source) or cohort, or leave "
                "long_residual out",
            )
        )
    if target_channels > source_channels:
        raise ConfigurationError(
            Problem(
                "E_LONG_RESIDUAL",
                f"long_residual adds the source to the answer, but the source has "
                f"{source_channels} channels and the answer {target_channels}",
                "leave long_residual out, or give each answered channel its source",
            )
        )
