"""DeepMedic: pathways of valid convolutions over a fine grid and over coarser ones around it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional

from medgen.networks.head import Activation, Head
from medgen.networks.sizes import trim
from medgen.networks.tapping import SegmenterBlock, Tapped, repeated

Width = Annotated[int, Field(ge=1)]
Factor = Annotated[int, Field(ge=2, le=16)]

LAYER, HIDDEN = "layer_", "hidden_"
"""What the names of maps begin with; the numbers count from one."""

OBSERVED = (f"{LAYER}4", f"{LAYER}6", f"{LAYER}8", f"{HIDDEN}1")
"""What the discriminator of Kamnitsas et al., IPMI 2017, sees."""

SLOPE = 0.25
"""Slope below zero that rectifiers start from, as He et al., ICCV 2015, have it."""


class DeepMedicOptions(SegmenterBlock):
    """Pathways of eight convolutions over the image and over its blocks' means, then hidden layers.

    Nothing is padded, so that an answer rests on real voxels only; an answer of 9 voxels along an
    axis is computed from 57, where the coarsest blocks have 3 voxels.
    """

    name: Literal["deep_medic"] = "deep_medic"
    subsampling: Annotated[tuple[Factor, ...], Field(max_length=3)] = (3,)
    """Voxels per axis of the blocks that each pathway but the first sees; the margin is eight times
    the largest, and answers are multiples of all of them. (3, 5) is the later default."""
    channels: Annotated[tuple[Width, ...], Field(min_length=2, max_length=16)] = (
        *(30, 30, 40, 40),
        *(40, 40, 50, 50),
    )
    """Features of each convolution, in every pathway."""
    hidden: Annotated[tuple[Width, ...], Field(min_length=1, max_length=4)] = (150, 150)
    """Features of the layers on all pathways together, which see one voxel each."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    """Share of features that are dropped, in training only, before each layer on a hidden one."""
    residual: bool = False
    """Add to the answers of the fourth, sixth and eighth convolution what the one before each was
    given, as the authors' later default does; in a longer pathway, of every second one from there.
    """

    @field_validator("subsampling")
    @classmethod
    def _factors_differ(cls, factors: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(factors)) < len(factors):
            raise ValueError(f"{list(factors)} has a factor twice: give each pathway its own")
        return factors

    @property
    def factors(self) -> tuple[int, ...]:
        """Return the voxels per axis of every pathway's blocks."""
        return (1, *self.subsampling)

    @property
    def divisor(self) -> int:
        """Return what every axis must be a multiple of: whole blocks in each pathway.

        Windows start on multiples of it too, or blocks would be cut elsewhere than in the whole.
        """
        return math.lcm(*self.factors)

    @property
    def minimum_patch(self) -> int:
        """Return the shortest axis of a patch: two of the coarsest blocks, for the batch norm.

        A patch of one block would leave one voxel, which is its own mean. What `sizes` tells of
        gradients in bf16 does not touch convolutions without padding.
        """
        return math.ceil(2 * max(self.factors) / self.divisor) * self.divisor

    @property
    def minimum_window(self) -> int:
        """Return the shortest axis of an answer outside of training."""
        return self.divisor

    @property
    def margin(self) -> int:
        """Return the voxels of the source that an answer lacks: one block for each convolution."""
        return len(self.channels) * max(self.factors)

    @property
    def taps(self) -> Mapping[str, int]:
        """Return the channels of each layer: those of all pathways, and those of hidden layers."""
        paths = len(self.factors)
        layers = {f"{LAYER}{number}": paths * n for number, n in enumerate(self.channels, start=1)}
        return layers | {f"{HIDDEN}{number}": n for number, n in enumerate(self.hidden, start=1)}

    @property
    def default_taps(self) -> tuple[str, ...]:
        """Return the paper's, as far as the network has them."""
        return tuple(name for name in OBSERVED if name in self.taps)

    def build(
        self, *, source_channels: int, target_channels: int, activation: Activation
    ) -> DeepMedic:
        """Return a freshly initialised network.

        Raises:
            ConfigurationError: E_LONG_RESIDUAL, the source cannot be added to the answer.
        """
        return DeepMedic(
            self,
            source_channels=source_channels,
            target_channels=target_channels,
            activation=activation,
        )


class DeepMedic(Tapped):
    """Answer each voxel from 17 voxels around it, and from 17 blocks of each coarser grid.

    Kamnitsas et al., Efficient multi-scale 3D CNN with fully connected CRF for accurate brain
    lesion segmentation, Medical Image Analysis 2017: batch norm, PReLU, weights as He et al. A
    pathway of factor f is given p + 16 f voxels for an answer of p, averages blocks of f x f x f,
    and its p / f voxels of features are repeated f times.

    Departures. Coarse grids hold the means of blocks, not every third voxel: those skip 26 of 27
    voxels, so that a lesion of two can fall between them and noise comes through in full. Norms
    remember by torch's running averages, not over the last 60 batches. The classifier is in fp32.
    No conditional random field follows.
    """

    def __init__(
        self,
        options: DeepMedicOptions,
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
        self.factors = options.factors
        self.layers = len(options.channels)
        self.pathways = nn.ModuleList(
            Pathway((source_channels, *options.channels), residual=options.residual)
            for _ in options.factors
        )
        joined = len(options.factors) * options.channels[-1]
        self.hidden = nn.ModuleList(
            _Layer(before, width, kernel=1) for before, width in pairwise((joined, *options.hidden))
        )
        self.dropout = nn.Dropout(options.dropout)
        self.apply(_initialise)
        self.head = Head(options.hidden[-1], target_channels, activation)

    def compute(self, source: Tensor) -> Tensor:
        """Return the head's answer, less the margin."""
        answer, _ = self.compute_and_tap(source, ())
        return answer

    def compute_and_tap(
        self, source: Tensor, names: Sequence[str]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Return the head's answer, and the layers named on the answer's grid, rectified."""
        maps: dict[str, Tensor] = {}
        # Layer by layer, so that outside of training what has been used is not kept.
        paths = [
            pathway(self._blocks(source, factor))
            for pathway, factor in zip(self.pathways, self.factors, strict=True)
        ]
        for number, layers in enumerate(zip(*paths, strict=True), start=1):
            name = f"{LAYER}{number}"
            if name in names or number == self.layers:
                maps[name] = features = self._joined(layers, self.layers - number)
        for number, layer in enumerate(self.hidden, start=1):
            features = layer(self.dropout(features) if number > 1 else features)
            maps[f"{HIDDEN}{number}"] = features
        return self.head(self.dropout(features)), [maps[name] for name in names]

    def _blocks(self, source: Tensor, factor: int) -> Tensor:
        """Return the means of a pathway's blocks, within the part of the source that it sees."""
        seen = trim(source, self.margin - self.layers * factor)
        return seen if factor == 1 else functional.avg_pool3d(seen, factor)

    def _joined(self, layers: Sequence[Tensor], around: int) -> Tensor:
        """Return one layer of all pathways on the answer's grid, less the voxels around it."""
        return torch.cat(
            [
                repeated(trim(features, around), factor)
                for features, factor in zip(layers, self.factors, strict=True)
            ],
            dim=1,
        )


class Pathway(nn.Module):
    """Convolutions of three voxels without padding; each takes a voxel from every side."""

    def __init__(self, widths: Sequence[int], *, residual: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _Layer(before, width, kernel=3) for before, width in pairwise(widths)
        )
        self.residual = residual

    def forward(self, source: Tensor) -> Iterator[Tensor]:
        """Yield every layer's features (B, C, X - 2 n, Y - 2 n, Z - 2 n), rectified.

        Sums are made before the norm, of what was not normalised either: the identity mappings of
        He et al., ECCV 2016.
        """
        before = given = features = source
        for number, layer in enumerate(self.layers, start=1):
            assert isinstance(layer, _Layer)  # for the type checker
            convolved: Tensor = layer.convolution(features)
            if self.residual and number >= 4 and number % 2 == 0:
                convolved = convolved + _fitted(before, convolved.shape[1])
            before, given = given, convolved
            features = layer.rectified(convolved)
            yield features


class _Layer(nn.Module):
    """Convolve, normalise over the batch, and rectify with a slope per feature."""

    def __init__(self, sources: int, features: int, *, kernel: int) -> None:
        super().__init__()
        # A bias would be taken away by the norm.
        self.convolution = nn.Conv3d(sources, features, kernel_size=kernel, bias=False)
        self.norm = nn.BatchNorm3d(features)
        self.activation = nn.PReLU(features, init=SLOPE)

    def rectified(self, convolved: Tensor) -> Tensor:
        """Return features from what was convolved."""
        features: Tensor = self.activation(self.norm(convolved))
        return features

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, sources, X, Y, Z) to (B, features, ...), less the kernel's border."""
        return self.rectified(self.convolution(features))


def _fitted(earlier: Tensor, features: int) -> Tensor:
    """Return what two convolutions earlier was given to them, cropped, with empty channels more."""
    inner = trim(earlier, 2)[:, :features]
    return functional.pad(inner, (0, 0, 0, 0, 0, 0, 0, features - inner.shape[1]))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
