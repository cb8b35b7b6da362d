"""Networks: their options as a configuration writes them, and what they build.

Options carry a `name`, which picks the member of a union in `choices`; a block without one keeps
the default's.
"""

from medgen.networks.choices import (
    DiscriminatorOptions,
    GeneratorOptions,
    SegmenterOptions,
    nameless_is,
)
from medgen.networks.context_discriminator import (
    ContextDiscriminator,
    ContextDiscriminatorOptions,
)
from medgen.networks.context_fcn import ContextFCN, ContextFCNOptions
from medgen.networks.dcgan import DcganDiscriminator, DcganGenerator, DcganOptions
from medgen.networks.decoder import Decoder, DecoderBlock
from medgen.networks.deep_medic import DeepMedic, DeepMedicOptions
from medgen.networks.dense_autoencoder import (
    DenseAutoencoder,
    DenseAutoencoderOptions,
    DenseDecoder,
    DenseEncoder,
)
from medgen.networks.dense_discriminator import DenseDiscriminator
from medgen.networks.discriminator import Discriminator
from medgen.networks.domain_discriminator import (
    DomainDiscriminator,
    DomainDiscriminatorOptions,
)
from medgen.networks.generator import Generator, GeneratorBlock
from medgen.networks.head import Activation, Head
from medgen.networks.patch_discriminator import PatchDiscriminator, PatchDiscriminatorOptions
from medgen.networks.pix2pix_unet import Pix2PixUNet, Pix2PixUNetOptions
from medgen.networks.residual_encoder_unet import ResidualEncoderUNet, ResidualEncoderUNetOptions
from medgen.networks.residual_gan import (
    ResidualCritic,
    ResidualEncoder,
    ResidualGanOptions,
    ResidualGenerator,
)
from medgen.networks.resnet_generator import ResNetGenerator, ResNetGeneratorOptions
from medgen.networks.sizes import check_size, trim
from medgen.networks.tapping import SegmenterBlock, Tapped
from medgen.networks.unet import UNet, UNetOptions

UNET = UNetOptions()
"""The default generator."""

RESNET = ResNetGeneratorOptions()
"""The default generator of training without pairs."""

DEEP_MEDIC = DeepMedicOptions()
"""The default segmenter of training that adapts to another domain."""

DENSE_AUTOENCODER = DenseAutoencoderOptions()
"""The default autoencoder of windows, of the size of the training patch."""

DOMAIN_DISCRIMINATOR = DomainDiscriminatorOptions()
"""The discriminator of domains."""

PATCH_DISCRIMINATOR = PatchDiscriminatorOptions()
"""The default discriminator."""

DCGAN = DcganOptions()
"""The networks of AnoGAN."""

RESIDUAL_GAN = ResidualGanOptions()
"""The networks of f-AnoGAN."""

__all__ = [
    "DCGAN",
    "DEEP_MEDIC",
    "DENSE_AUTOENCODER",
    "DOMAIN_DISCRIMINATOR",
    "PATCH_DISCRIMINATOR",
    "RESIDUAL_GAN",
    "RESNET",
    "UNET",
    "Activation",
    "ContextDiscriminator",
    "ContextDiscriminatorOptions",
    "ContextFCN",
    "ContextFCNOptions",
    "DcganDiscriminator",
    "DcganGenerator",
    "DcganOptions",
    "Decoder",
    "DecoderBlock",
    "DeepMedic",
    "DeepMedicOptions",
    "DenseAutoencoder",
    "DenseAutoencoderOptions",
    "DenseDecoder",
    "DenseDiscriminator",
    "DenseEncoder",
    "Discriminator",
    "DiscriminatorOptions",
    "DomainDiscriminator",
    "DomainDiscriminatorOptions",
    "Generator",
    "GeneratorBlock",
    "GeneratorOptions",
    "Head",
    "PatchDiscriminator",
    "PatchDiscriminatorOptions",
    "Pix2PixUNet",
    "Pix2PixUNetOptions",
    "ResNetGenerator",
    "ResNetGeneratorOptions",
    "ResidualCritic",
    "ResidualEncoder",
    "ResidualEncoderUNet",
    "ResidualEncoderUNetOptions",
    "ResidualGanOptions",
    "ResidualGenerator",
    "SegmenterBlock",
    "SegmenterOptions",
    "Tapped",
    "UNet",
    "UNetOptions",
    "check_size",
    "nameless_is",
    "trim",
]
