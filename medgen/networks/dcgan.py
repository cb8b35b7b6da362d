"""DCGAN on patches: a generator of images from a latent vector, and its mirror image as judge."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

import torch
from monai.networks.utils import normal_init
from pydantic import Field
from torch import Tensor, nn

from medgen.networks.exact import Exact
from medgen.networks.head import Activation
from medgen.networks.patched import PatchedBlock
from medgen.networks.slices import Extent, SpatialDims, coarsest, extent
from medgen.networks.small_maps import run_soundly

SLOPE = 0.2
"""Of the discriminator's leaky rectifiers below zero."""


class DcganOptions(PatchedBlock):
    """Both players; the paper's numbers suit windows of 64 voxels, which four levels bring to 4.

    Every axis of a window is a multiple of two to the power of `levels`, and twice that at least.
    """

    name: Literal["dcgan"] = "dcgan"
    channels: Annotated[int, Field(ge=1)] = 64
    """Features at half resolution; each level doubles them, up to eight times."""
    levels: Annotated[int, Field(ge=1, le=7)] = 4
    """Fractionally strided convolutions of the generator, strided ones of the discriminator."""
    latent: Annotated[int, Field(ge=1)] = 100
    """Numbers in a latent vector."""
    spatial_dims: SpatialDims = 3
    """2 for slices: windows of [X, Y, 1]."""

    @property
    def features(self) -> tuple[int, ...]:
        """Return the features of each level, from half resolution down."""
        return tuple(self.channels * min(2**level, 8) for level in range(self.levels))

    @property
    def base(self) -> Extent:
        """Return the size of the coarsest map.

        Raises:
            ConfigurationError: E_PATCH_SIZE, no window, or one that the levels do not fit.
        """
        return coarsest(self.name, self.size, levels=self.levels, spatial_dims=self.spatial_dims)

    def build_generator(
        self, *, channels: int, activation: Activation, places: int = 0
    ) -> DcganGenerator:
        """Return a freshly initialised generator of images with that many channels.

        `places` numbers say where a window lies; 0: the network is not told.

        Raises:
            ConfigurationError: E_PATCH_SIZE, no window, or one that the levels do not fit.
        """
        return DcganGenerator(self, channels=channels, activation=activation, places=places)

    def build_discriminator(self, *, channels: int, places: int = 0) -> DcganDiscriminator:
        """Return a freshly initialised discriminator.

        Raises:
            ConfigurationError: E_PATCH_SIZE, no window, or one that the levels do not fit.
        """
        return DcganDiscriminator(self, channels=channels, places=places)


class DcganGenerator(nn.Module):
    """Draw images from latent vectors by fractionally strided convolutions.

    Radford et al., Unsupervised representation learning with deep convolutional generative
    adversarial networks, ICLR 2016, as Schlegl et al., AnoGAN, IPMI 2017 use it: a dense layer to
    the coarsest map, then convolutions of 512, 256, 128, 64 features; batch norm and ReLU before
    each; no norm after the last, which answers through a tanh, or bare where the scale of the
    images has no bounds. Departures: three dimensions, and kernels of four voxels, which two
    divides, so that every voxel of an answer is met by as many weights. Weights start as
    N(0, 0.02).
    """

    def __init__(
        self, options: DcganOptions, *, channels: int, activation: Activation, places: int
    ) -> None:
        super().__init__()
        features = options.features[::-1]
        self.coarsest = (features[0], *options.base)
        self.dense = nn.Linear(options.latent + places, math.prod(self.coarsest), bias=False)
        kernel, stride, padding = _halving(options.spatial_dims)
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm3d(before),
                nn.ReLU(inplace=True),
                nn.ConvTranspose3d(before, after, kernel, stride, padding, bias=False),
            )
            for before, after in pairwise(features)
        )
        self.norm = nn.BatchNorm3d(features[-1])
        self.head = Exact(
            nn.ConvTranspose3d(features[-1], channels, kernel, stride, padding), activation
        )
        self.apply(normal_init)

    def forward(self, latent: Tensor, place: Tensor | None = None) -> Tensor:
        """Return images (B, C, *window) in float32 of latents (B, N), at places (B, 3)."""
        told = latent if place is None else torch.cat([latent, place], dim=1)
        features: Tensor = self.dense(told).unflatten(1, self.coarsest)
        for layer in self.up:
            features = run_soundly(layer, features, length=features.shape[2])
        images: Tensor = self.head(self.norm(features).relu())
        return images


class DcganDiscriminator(nn.Module):
    """Judge images by strided convolutions: one logit each, higher for real.

    Radford et al., ICLR 2016: the generator mirrored, leaky ReLU (0.2), batch norm after all
    convolutions but the first. Real and fake are judged in passes of their own, or the norms would
    let them see each other. Weights start as N(0, 0.02).
    """

    def __init__(self, options: DcganOptions, *, channels: int, places: int) -> None:
        super().__init__()
        kernel, stride, padding = _halving(options.spatial_dims)
        self.down = nn.ModuleList()
        for before, after in pairwise((channels + places, *options.features)):
            first = not len(self.down)
            layers: list[nn.Module] = [
                nn.Conv3d(before, after, kernel, stride, padding, bias=first),
                *([] if first else [nn.BatchNorm3d(after)]),
                nn.LeakyReLU(SLOPE, inplace=True),
            ]
            self.down.append(nn.Sequential(*layers))
        self.head = Exact(nn.Linear(options.features[-1] * math.prod(options.base), 1))
        self.apply(normal_init)

    def forward(self, image: Tensor, place: Tensor | None = None) -> Tensor:
        """Return float32 logits (B, 1) of images (B, C, *window), at places (B, 3)."""
        logits: Tensor = self.head(self.features(image, place))
        return logits

    def features(self, image: Tensor, place: Tensor | None = None) -> Tensor:
        """Return what the last convolution answers to images, rectified and laid flat (B, F)."""
        features = beside_place(image, place)
        for layer in self.down:
            features = run_soundly(layer, features, length=features.shape[2] // 2)
        return features.flatten(1)


def beside_place(image: Tensor, place: Tensor | None) -> Tensor:
    """Return images (B, C, X, Y, Z) with a constant channel for each number of their place."""
    if place is None:
        return image
    maps = place[:, :, None, None, None].expand(-1, -1, *image.shape[2:])
    return torch.cat([image, maps.to(image.dtype)], dim=1)


def _halving(spatial_dims: SpatialDims) -> tuple[Extent, Extent, Extent]:
    """Return kernel, stride and padding of a convolution that halves, or doubles, the grid."""
    return (
        extent(4, spatial_dims, across=1),
        extent(2, spatial_dims, across=1),
        extent(1, spatial_dims, across=0),
    )
