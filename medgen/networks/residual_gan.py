"""The residual networks of f-AnoGAN: a generator, a critic and an encoder of patches."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from medgen.networks.dcgan import beside_place
from medgen.networks.exact import Exact
from medgen.networks.head import Activation
from medgen.networks.patched import PatchedBlock
from medgen.networks.residual_blocks import DownBlock, Norm, UpBlock, convolution, initialise, norm
from medgen.networks.slices import Extent, SpatialDims, coarsest


class ResidualGanOptions(PatchedBlock):
    """All three players; the paper's numbers suit windows of 64 voxels, brought to 4.

    Every axis of a window is a multiple of two to the power of `levels`, and twice that at least.
    """

    name: Literal["residual_gan"] = "residual_gan"
    channels: Annotated[int, Field(ge=1)] = 64
    """Features at full resolution; each level doubles them, up to eight times."""
    levels: Annotated[int, Field(ge=1, le=7)] = 4
    """Blocks of each player, each of which halves or doubles the grid."""
    latent: Annotated[int, Field(ge=1)] = 128
    """Numbers in a latent vector."""
    encoded: Activation = "tanh"
    """What the encoder ends with: the paper's tanh keeps to the middle of N(0, I)."""
    spatial_dims: SpatialDims = 3
    """2 for slices: windows of [X, Y, 1]."""

    @property
    def features(self) -> tuple[int, ...]:
        """Return the features from full resolution down to the coarsest map."""
        return tuple(self.channels * min(2**level, 8) for level in range(self.levels + 1))

    @property
    def base(self) -> Extent:
        """Return the size of the coarsest map.

        Raises:
            ConfigurationError: E_PATCH_SIZE, no window, or one that the levels do not fit.
        """
        return coarsest(self.name, self.size, levels=self.levels, spatial_dims=self.spatial_dims)

    def build_generator(
        self, *, channels: int, activation: Activation, places: int = 0
    ) -> ResidualGenerator:
        """Return a freshly initialised generator of images with that many channels.

        `places` numbers say where a window lies; 0: the network is not told.

        Raises:
            ConfigurationError: E_PATCH_SIZE, no window, or one that the levels do not fit.
        """
        return ResidualGenerator(self, channels=channels, activation=activation, places=places)

    def build_critic(self, *, channels: int, places: int = 0) -> ResidualCritic:
        """Return a freshly initialised critic.

        Raises:
            ConfigurationError: E_PATCH_SIZE, no window, or one that the levels do not fit.
        """
        return ResidualCritic(self, channels=channels, places=places)

    def build_encoder(self, *, channels: int, places: int = 0) -> ResidualEncoder:
        """Return a freshly initialised encoder.

        Raises:
            ConfigurationError: E_PATCH_SIZE, no window, or one that the levels do not fit.
        """
        return ResidualEncoder(self, channels=channels, places=places)


class ResidualGenerator(nn.Module):
    """Draw images from latent vectors by residual blocks with batch norm.

    Schlegl et al., f-AnoGAN: fast unsupervised anomaly detection with generative adversarial
    networks, MIA 2019, after Gulrajani et al., NeurIPS 2017: a dense layer to the coarsest map of
    512 features, up-blocks of 512, 256, 128, 64, then batch norm, ReLU and a convolution, which
    answers through a tanh, or bare where the scale of the images has no bounds. Departure: three
    dimensions.
    """

    def __init__(
        self, options: ResidualGanOptions, *, channels: int, activation: Activation, places: int
    ) -> None:
        super().__init__()
        features = options.features[::-1]
        self.coarsest = (features[0], *options.base)
        self.dense = nn.Linear(options.latent + places, math.prod(self.coarsest))
        self.up = nn.ModuleList(
            UpBlock(before, after, options.spatial_dims) for before, after in pairwise(features)
        )
        self.norm = norm("batch", features[-1])
        self.head = Exact(
            convolution(features[-1], channels, 3, options.spatial_dims, bias=True), activation
        )
        initialise(self)

    def forward(self, latent: Tensor, place: Tensor | None = None) -> Tensor:
        """Return images (B, C, *window) in float32 of latents (B, N), at places (B, 3)."""
        told = latent if place is None else torch.cat([latent, place], dim=1)
        features: Tensor = self.dense(told).unflatten(1, self.coarsest)
        for block in self.up:
            features = block(features)
        images: Tensor = self.head(self.norm(features).relu())
        return images


class ResidualStem(nn.Module):
    """What critic and encoder share: a convolution and the down-blocks, laid flat."""

    def __init__(self, options: ResidualGanOptions, *, channels: int, normalised: Norm) -> None:
        super().__init__()
        features = options.features
        dims = options.spatial_dims
        # Through the shortcuts a bias reaches a batch norm, or the dense layer: nobody needs it.
        biased = normalised == "layer"
        self.first = convolution(channels, features[0], 3, dims, bias=biased)
        self.down = nn.ModuleList(
            DownBlock(before, after, dims, kind=normalised, bias=biased and level < options.levels)
            for level, (before, after) in enumerate(pairwise(features), start=1)
        )
        self.length = features[-1] * math.prod(options.base)
        """Numbers of what it answers for one image."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the vectors (B, F) of images (B, C, *window)."""
        features: Tensor = self.first(images)
        for block in self.down:
            features = block(features)
        return features.flatten(1)


class ResidualCritic(nn.Module):
    """Score images, higher for real, by residual blocks with layer norm.

    Schlegl et al., MIA 2019: a convolution of 64 features, down-blocks of 128, 256, 512, 512, and
    one dense layer on the vector, which is the feature that f-AnoGAN compares. Layer norm knows no
    other sample, as the gradient penalty asks for; its scale and shift are per channel.
    """

    def __init__(self, options: ResidualGanOptions, *, channels: int, places: int) -> None:
        super().__init__()
        self.stem = ResidualStem(options, channels=channels + places, normalised="layer")
        # No bias, nor in the last block: what all scores share moves no loss.
        self.head = Exact(nn.Linear(self.stem.length, 1, bias=False))
        initialise(self)

    def forward(self, image: Tensor, place: Tensor | None = None) -> Tensor:
        """Return float32 scores (B, 1) of images (B, C, *window), at places (B, 3)."""
        scores: Tensor = self.head(self.features(image, place))
        return scores

    def features(self, image: Tensor, place: Tensor | None = None) -> Tensor:
        """Return the vector (B, F) that the score of an image is computed from."""
        vector: Tensor = self.stem(beside_place(image, place))
        return vector


class ResidualEncoder(nn.Module):
    """Find the latent vector of an image: the critic with batch norm and another last layer.

    Schlegl et al., MIA 2019. The place of a window joins the vector before the dense layer.
    """

    def __init__(self, options: ResidualGanOptions, *, channels: int, places: int) -> None:
        super().__init__()
        self.stem = ResidualStem(options, channels=channels, normalised="batch")
        self.head = Exact(nn.Linear(self.stem.length + places, options.latent), options.encoded)
        initialise(self)

    def forward(self, image: Tensor, place: Tensor | None = None) -> Tensor:
        """Return float32 latents (B, N) of images (B, C, *window), at places (B, 3)."""
        vector: Tensor = self.stem(image)
        told = vector if place is None else torch.cat([vector, place.to(vector.dtype)], dim=1)
        latent: Tensor = self.head(told)
        return latent
