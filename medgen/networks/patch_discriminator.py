"""The conditional patch discriminator: is each patch of an image real, given its source?"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from monai.networks.nets.patchgan_discriminator import PatchDiscriminator as PatchGAN
from pydantic import Field
from torch import Tensor, nn

from medgen.config import Strict
from medgen.networks.sizes import check_size


class PatchDiscriminatorOptions(Strict):
    """A 3D PatchGAN; three layers see 70 voxels per axis, as pix2pix, two see 34, one sees 16."""

    name: Literal["patch_discriminator"] = "patch_discriminator"
    channels: Annotated[int, Field(ge=1)] = 32
    """Features after the first convolution; each further layer doubles them."""
    layers: Annotated[int, Field(ge=1, le=6)] = 3
    """Convolutions with stride two."""

    @property
    def minimum_patch(self) -> int:
        """Return the shortest axis of a patch: it leaves three logits; see `sizes`."""
        return int(5 * 2**self.layers)

    def build(self, *, source_channels: int, target_channels: int) -> PatchDiscriminator:
        """Return a freshly initialised discriminator."""
        return PatchDiscriminator(
            self, source_channels=source_channels, target_channels=target_channels
        )


class PatchDiscriminator(nn.Module):
    """Judge an image given its source: one logit per overlapping patch, higher for real.

    Isola et al., Image-to-image translation with conditional adversarial networks, CVPR 2017, in
    3D and with instance norm, which unlike batch norm lets real and fake share one pass. Weights
    start as N(0, 0.02), as in the paper.
    """

    def __init__(
        self, options: PatchDiscriminatorOptions, *, source_channels: int, target_channels: int
    ) -> None:
        super().__init__()
        self.minimum_patch = options.minimum_patch
        self.body = PatchGAN(
            spatial_dims=3,
            channels=options.channels,
            in_channels=source_channels + target_channels,
            num_layers_d=options.layers,
            norm="INSTANCE",
        )

    def forward(self, source: Tensor, image: Tensor) -> Tensor:
        """Return float32 logits (B, 1, x, y, z) of images (B, C, X, Y, Z) given their sources.

        Raises:
            ConfigurationError: E_PATCH_SIZE, an axis is too short.
        """
        check_size("patch_discriminator", image.shape[2:], minimum=self.minimum_patch)
        # MONAI returns every layer's features; the logits are the last.
        logits: Tensor = self.body(torch.cat([source, image], dim=1))[-1]
        return logits.float()
