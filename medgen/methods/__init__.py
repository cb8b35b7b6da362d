"""The methods by the name that a configuration gives them; one file each."""

from collections.abc import Mapping

from medgen.method import Method
from medgen.methods.adapted_segmenter import AdaptedSegmenter
from medgen.methods.ano_gan import AnoGAN
from medgen.methods.conditional_gan import ConditionalGAN
from medgen.methods.context_aware_gan import ContextAwareGAN
from medgen.methods.cycle_gan import CycleGAN
from medgen.methods.denoising_autoencoder import DenoisingAutoencoder
from medgen.methods.ea_gan import EaGAN
from medgen.methods.f_ano_gan import FAnoGAN
from medgen.methods.regression import Regression
from medgen.methods.segmenter import Segmenter
from medgen.methods.vae import VAE
from medgen.methods.vae_gan import VAEGAN

METHODS: Mapping[str, type[Method]] = {
    "adapted_segmenter": AdaptedSegmenter,
    "ano_gan": AnoGAN,
    "conditional_gan": ConditionalGAN,
    "context_aware_gan": ContextAwareGAN,
    "cycle_gan": CycleGAN,
    "denoising_autoencoder": DenoisingAutoencoder,
    "ea_gan": EaGAN,
    "f_ano_gan": FAnoGAN,
    "regression": Regression,
    "segmenter": Segmenter,
    "vae": VAE,
    "vae_gan": VAEGAN,
}

__all__ = [
    "METHODS",
    "VAE",
    "VAEGAN",
    "AdaptedSegmenter",
    "AnoGAN",
    "ConditionalGAN",
    "ContextAwareGAN",
    "CycleGAN",
    "DenoisingAutoencoder",
    "EaGAN",
    "FAnoGAN",
    "Regression",
    "Segmenter",
]
