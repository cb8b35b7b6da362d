"""The methods by the name that a configuration gives them; one file each."""

from collections.abc import Mapping

from medgen.method import Method
from medgen.methods.conditional_gan import ConditionalGAN
from medgen.methods.regression import Regression
from medgen.methods.segmenter import Segmenter

METHODS: Mapping[str, type[Method]] = {
    "conditional_gan": ConditionalGAN,
    "regression": Regression,
    "segmenter": Segmenter,
}

__all__ = ["METHODS", "ConditionalGAN", "Regression", "Segmenter"]
