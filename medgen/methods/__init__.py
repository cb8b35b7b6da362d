"""The methods by the name that a configuration gives them; one file each."""

from collections.abc import Mapping

from medgen.method import Method
from medgen.methods.adapted_segmenter import AdaptedSegmenter
from medgen.methods.conditional_gan import ConditionalGAN
from medgen.methods.context_aware_gan import ContextAwareGAN
from medgen.methods.cycle_gan import CycleGAN
from medgen.methods.ea_gan import EaGAN
from medgen.methods.regression import Regression
from medgen.methods.segmenter import Segmenter

METHODS: Mapping[str, type[Method]] = {
    "adapted_segmenter": AdaptedSegmenter,
    "conditional_gan": ConditionalGAN,
    "context_aware_gan": ContextAwareGAN,
    "cycle_gan": CycleGAN,
    "ea_gan": EaGAN,
    "regression": Regression,
    "segmenter": Segmenter,
}

__all__ = [
    "METHODS",
    "AdaptedSegmenter",
    "ConditionalGAN",
    "ContextAwareGAN",
    "CycleGAN",
    "EaGAN",
    "Regression",
    "Segmenter",
]
