"""The dense autoencoder: an image of one size as a vector without places, and back."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from medgen.networks.head import Activation, Head
from medgen.networks.patched import PatchedBlock
from medgen.networks.slices import Extent, SpatialDims, coarsest, extent
from medgen.networks.small_maps import run_soundly

Count = Annotated[int, Field(ge=1)]
SLOPE = 0.3
"""Of the leaky rectifiers below zero, as in the authors' code, whose framework has it so."""


class DenseAutoencoderOptions(PatchedBlock):
    """Strided convolutions to a small map, a dense layer to the latent vector, and the mirror.

    The networks of Baur et al., Autoencoders for unsupervised anomaly segmentation in brain MR
    images: a comparative study, Medical Image Analysis 2021, where slices of 128 x 128 pixels
    become 8 x 8 and then 128 numbers. Every axis of a window is a multiple of two to the power of
    the levels, and twice that at least.
    """

    name: Literal["dense_autoencoder"] = "dense_autoencoder"
    channels: Annotated[tuple[Count, ...], Field(min_length=1, max_length=8)] = (32, 64, 128, 128)
    """Features of each level; every one halves the grid."""
    kernel: Literal[3, 5] = 5
    """Voxels per axis of every strided convolution."""
    bottleneck: Count = 16
    """Features of the smallest map, between the convolutions and the dense layers."""
    latent: Count = 128
    """Numbers in a latent vector."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the smallest map's numbers that is dropped before and after the latent, in training
    only; 0.2 in the paper's experiments."""
    spatial_dims: SpatialDims = 3
    """2 for slices: windows of [X, Y, 1]."""

    @property
    def base(self) -> Extent:
        """Return the size of the smallest map.

        Raises:
            ConfigurationError: E_PATCH_SIZE, no window, or one that the levels do not fit.
        """
        levels = len(self.channels)
        return coarsest(self.name, self.size, levels=levels, spatial_dims=self.spatial_dims)

    @property
    def halving(self) -> tuple[Extent, Extent, Extent]:
        """Return kernel, stride and padding of a convolution that halves, or doubles, the grid."""
        return (
            extent(self.kernel, self.spatial_dims, across=1),
            extent(2, self.spatial_dims, across=1),
            extent(self.kernel // 2, self.spatial_dims, across=0),
        )

    def build(self, *, channels: int, activation: Activation, places: int = 0) -> DenseAutoencoder:
        """Return a freshly initialised encoder and decoder of images with that many channels.

        `places` numbers say where a window lies; 0: the networks are not told.

        Raises:
            ConfigurationError: E_PATCH_SIZE, no window, or one that the levels do not fit.
        """
        return DenseAutoencoder(
            self.build_encoder(channels=channels, places=places),
            self.build_decoder(channels=channels, activation=activation, places=places),
        )

    def build_encoder(self, *, channels: int, places: int = 0) -> DenseEncoder:
        """Return a freshly initialised encoder.

        Raises:
            ConfigurationError: E_PATCH_SIZE, no window, or one that the levels do not fit.
        """
        return DenseEncoder(self, channels=channels, places=places)

    def build_decoder(
        self, *, channels: int, activation: Activation, places: int = 0
    ) -> DenseDecoder:
        """Return a freshly initialised decoder.

        Raises:
            ConfigurationError: E_PATCH_SIZE, no window, or one that the levels do not fit.
        """
        return DenseDecoder(self, channels=channels, activation=activation, places=places)


class DenseAutoencoder(nn.Module):
    """An encoder and a decoder that go together."""

    def __init__(self, encoder: DenseEncoder, decoder: DenseDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder


class Descent(nn.Module):
    """Halve images level by level: (B, C, *window) -> the map of every level, finest first."""

    def __init__(self, options: DenseAutoencoderOptions, *, channels: int, norm: bool) -> None:
        super().__init__()
        kernel, stride, padding = options.halving
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(before, after, kernel, stride, padding, bias=not norm),
                *([nn.BatchNorm3d(after)] if norm else []),
                nn.LeakyReLU(SLOPE, inplace=True),
            )
            for before, after in pairwise((channels, *options.channels))
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of all levels, rectified."""
        maps: list[Tensor] = []
        features = images
        for level in self.levels:
            features = run_soundly(level, features, length=min(features.shape[2:4]) // 2)
            maps.append(features)
        return tuple(maps)


class DenseEncoder(nn.Module):
    """Describe an image by a normal distribution of each number of its latent vector.

    Convolutions of stride two, each with batch norm and leaky ReLU, one of a single voxel to a few
    features, and dense layers, which are told the place. They run in fp32 outside autocast: all
    that is known of an image goes through them.
    """

    def __init__(self, options: DenseAutoencoderOptions, *, channels: int, places: int) -> None:
        super().__init__()
        self.descent = Descent(options, channels=channels, norm=True)
        self.narrow = nn.Conv3d(options.channels[-1], options.bottleneck, kernel_size=1)
        self.dropout = nn.Dropout(options.dropout)
        length = options.bottleneck * math.prod(options.base) + places
        self.mean = nn.Linear(length, options.latent)
        self.log_sigma = nn.Linear(length, options.latent)

    def forward(self, images: Tensor, place: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the mean and the logarithm of the deviation, (B, latent) each, in float32.

        Of images (B, C, *window), at places (B, 3).
        """
        features = self.narrow(self.descent(images)[-1])
        with torch.autocast(images.device.type, enabled=False):
            flat = told(self.dropout(features.flatten(1).float()), place)
            return self.mean(flat), self.log_sigma(flat)


class DenseDecoder(nn.Module):
    """Draw an image from a latent vector: the encoder's mirror.

    A dense layer in fp32, which is told the place, a convolution of a single voxel, and transposed
    convolutions that double the grid, all with batch norm; then `Head`. The last transposed
    convolution has as many features as the first level, as in the authors' code.
    """

    def __init__(
        self,
        options: DenseAutoencoderOptions,
        *,
        channels: int,
        activation: Activation,
        places: int,
    ) -> None:
        super().__init__()
        self.smallest = (options.bottleneck, *options.base)
        self.dense = nn.Linear(options.latent + places, math.prod(self.smallest))
        self.dropout = nn.Dropout(options.dropout)
        widths = (*reversed(options.channels), options.channels[0])
        self.widen = nn.Sequential(
            nn.Conv3d(options.bottleneck, widths[0], kernel_size=1, bias=False),
            nn.BatchNorm3d(widths[0]),
            nn.ReLU(inplace=True),
        )
        kernel, stride, padding = options.halving
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose3d(
                    before,
                    after,
                    kernel,
                    stride,
                    padding,
                    output_padding=extent(1, options.spatial_dims, across=0),
                    bias=False,
                ),
                nn.BatchNorm3d(after),
                nn.LeakyReLU(SLOPE, inplace=True),
            )
            for before, after in pairwise(widths)
        )
        self.head = Head(widths[-1], channels, activation)

    def forward(self, latent: Tensor, place: Tensor | None = None) -> Tensor:
        """Return images (B, C, *window), fresh and in float32, of latents (B, N) at places."""
        with torch.autocast(latent.device.type, enabled=False):
            flat = self.dropout(self.dense(told(latent.float(), place)))
        features: Tensor = self.widen(flat.unflatten(1, self.smallest))
        for level in self.levels:
            features = run_soundly(level, features, length=min(features.shape[2:4]))
        images: Tensor = self.head(features)
        return images


def told(flat: Tensor, place: Tensor | None) -> Tensor:
    """Return vectors (B, N), each followed by its place (B, 3) where there are places."""
    return flat if place is None else torch.cat([flat, place.float()], dim=1)
