"""Networks: their options as a configuration writes them, and what they build.

Options carry a `name`, which picks the member where a union holds several: a new generator becomes
`Annotated[UNetOptions | OtherOptions, Field(discriminator="name")]` here and nowhere else.
"""

from typing import TypeAlias

from medgen.networks.head import Activation, Head
from medgen.networks.patch_discriminator import PatchDiscriminator, PatchDiscriminatorOptions
from medgen.networks.sizes import check_size
from medgen.networks.unet import UNet, UNetOptions

GeneratorOptions: TypeAlias = UNetOptions
DiscriminatorOptions: TypeAlias = PatchDiscriminatorOptions

UNET = UNetOptions()
"""The default generator."""

PATCH_DISCRIMINATOR = PatchDiscriminatorOptions()
"""The default discriminator."""

__all__ = [
    "PATCH_DISCRIMINATOR",
    "UNET",
    "Activation",
    "DiscriminatorOptions",
    "GeneratorOptions",
    "Head",
    "PatchDiscriminator",
    "PatchDiscriminatorOptions",
    "UNet",
    "UNetOptions",
    "check_size",
]
