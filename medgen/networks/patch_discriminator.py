"""The conditional patch discriminator: is each patch of an image real, given its source?"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from monai.networks.nets.patchgan_discriminator import PatchDiscriminator as PatchGAN
from pydantic import Field
from torch import Tensor, nn

from medgen.config import Strict
from medgen.networks.discriminator import Discriminator


class PatchDiscriminatorOptions(Strict):
    """A 3D PatchGAN; three layers see 70 voxels per axis, as pix2pix, two see 34, one sees 16."""

    name: Literal["patch_discriminator"] = "patch_discriminator"
    channels: Annotated[int, Field(ge=1)] = 32
    """Features after the first convolution; each further layer doubles them."""
    layers: Annotated[int, Field(ge=1, le=6)] = 3
    """Convolutions with stride two."""
    norm: Literal["instance", "batch"] = "instance"
    """Ea-GAN has batch norm, for which real and fake must be judged in passes of their own."""
    padding: Literal[1, 2] = 1
    """Zeros around each layer's input; with Ea-GAN's two, 128 voxels give 19 logits, not 14."""

    @property
    def minimum_patch(self) -> int:
        """Return the shortest axis of a patch; see `sizes` and `small_maps`.

        Padded by one it leaves three logits; padded by two the last layers have five voxels.
        """
        return int((5 if self.padding == 1 else 4) * 2**self.layers)

    def build(self, *, source_channels: int, target_channels: int) -> PatchDiscriminator:
        """Return a freshly initialised discriminator."""
        return PatchDiscriminator(
            self, source_channels=source_channels, target_channels=target_channels
        )


class PatchDiscriminator(Discriminator):
    """Judge an image given its source: one logit per overlapping patch, higher for real.

    Isola et al., Image-to-image translation with conditional adversarial networks, CVPR 2017, in
    3D; by default with instance norm, which unlike batch norm lets real and fake share one pass.
    With batch norm and a padding of two it is that of Yu et al. (Ea-GANs), TMI 2019. Weights start
    as N(0, 0.02), as in the papers.
    """

    def __init__(
        self, options: PatchDiscriminatorOptions, *, source_channels: int, target_channels: int
    ) -> None:
        super().__init__(
            options.name,
            minimum_patch=options.minimum_patch,
            batch_norm=options.norm == "batch",
        )
        self.body = PatchGAN(
            spatial_dims=3,
            channels=options.channels,
            in_channels=source_channels + target_channels,
            num_layers_d=options.layers,
            norm=options.norm,
            padding=options.padding,
        )
        # MONAI pads the last layer by one whatever the others are padded by.
        last = self.body.get_submodule("final_conv.conv")
        assert isinstance(last, nn.Conv3d)
        last.padding = (options.padding,) * 3

    def logits(self, source: Tensor, image: Tensor) -> Tensor:
        """Return logits (B, 1, x, y, z)."""
        return self._layers(source, image)[-1]

    def hidden(self, source: Tensor, image: Tensor) -> tuple[Tensor, ...]:
        """Return the maps after each layer's norm and activation, but the logits."""
        return tuple(self._layers(source, image)[:-1])

    def _layers(self, source: Tensor, image: Tensor) -> list[Tensor]:
        """Return every layer's features; the logits are the last."""
        layers: list[Tensor] = self.body(torch.cat([source, image], dim=1))
        return layers
