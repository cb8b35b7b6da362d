"""The domain discriminator: does each voxel's features come from the source's domain?"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from medgen.config import Strict
from medgen.networks.head import Head
from medgen.networks.small_maps import run_soundly

SLOPE = 0.2
"""Of the leaky rectifiers below zero."""


class DomainDiscriminatorOptions(Strict):
    """Convolutions of three voxels, then a classifier of each voxel."""

    name: Literal["domain_discriminator"] = "domain_discriminator"
    channels: Annotated[int, Field(ge=1)] = 100
    """Features of every layer."""
    layers: Annotated[int, Field(ge=1, le=8)] = 4
    """Convolutions before the classifier; a logit sees as many voxels to each side."""

    def build(self, channels: int) -> DomainDiscriminator:
        """Return a freshly initialised discriminator of features with that many channels."""
        return DomainDiscriminator(self, channels=channels)


class DomainDiscriminator(nn.Module):
    """Judge the features of a segmenter: one logit per voxel, higher for the source's domain.

    Kamnitsas et al., Unsupervised domain adaptation in brain lesion segmentation with adversarial
    networks, IPMI 2017: four layers of 100 features and a classifier. Departures: padding, so that
    grids of a few voxels can be judged, and leaky rectifiers. The features are normalised over the
    batch, which must hold both domains, so that nothing is gained by their scale, and what is
    learned of them survives as they change; a norm over a patch would subtract what tells the
    domains apart. Weights start as He et al. (ICCV 2015) have it.
    """

    def __init__(self, options: DomainDiscriminatorOptions, *, channels: int) -> None:
        super().__init__()
        widths = [channels, *[options.channels] * options.layers]
        self.norm = nn.BatchNorm3d(channels, affine=False)
        self.convolutions = nn.ModuleList(
            nn.Conv3d(before, after, kernel_size=3, padding=1) for before, after in pairwise(widths)
        )
        for convolution in self.convolutions:
            assert isinstance(convolution, nn.Conv3d)
            assert convolution.bias is not None
            nn.init.kaiming_normal_(convolution.weight, a=SLOPE, nonlinearity="leaky_relu")
            nn.init.zeros_(convolution.bias)
        self.activation = nn.LeakyReLU(SLOPE, inplace=True)
        self.head = Head(options.channels, 1, "linear")

    def forward(self, features: Tensor) -> Tensor:
        """Return float32 logits (B, 1, x, y, z) of features (B, C, x, y, z), of any length.

        In training all patches of both domains come in one batch.
        """
        features = self.norm(features)
        for convolution in self.convolutions:
            # A kernel of three answers soundly from three voxels on: see `small_maps`.
            features = run_soundly(convolution, features, length=features.shape[2], sound_from=3)
            features = self.activation(features)
        logits: Tensor = self.head(features)
        return logits
