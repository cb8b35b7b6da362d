"""A stand-in for the frozen network that a training with feature losses is lent.

Which run will be lent is not known when a training is planned, so a segmenter of the default
network stands for it: its weights, and what its features take, are counted in the footprint.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional

from medgen.config import Config
from medgen.networks import UNET
from medgen.problems import Problem
from medgen.runs import build, setting_of

Parameters = Iterator[Tensor]


class StandIn:
    """Features of an image as a frozen segmenter of the default network computes them."""

    def __init__(self, config: Config) -> None:
        """Build it for the images that the configuration's target is compared by."""
        network = UNET.build(
            source_channels=setting_of(config).target_channels,
            target_channels=2,
            activation="linear",
        )
        self.network = network.eval().requires_grad_(False)

    def __call__(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the decoder's maps; an image of any size is padded to one that fits."""
        divisor, least = self.network.divisor, self.network.minimum_patch
        pads: list[int] = []
        for length in reversed(image.shape[2:]):
            pads += [0, -(-max(length, least) // divisor) * divisor - length]
        features: tuple[Tensor, ...] = self.network.decode(functional.pad(image, pads))
        return features

    def weights(self) -> Parameters:
        """Return its parameters, which no optimizer moves."""
        return self.network.parameters()


def lent_doubts(config: Config) -> list[Problem]:
    """Return what a plan cannot know about the network that the training will be lent."""
    method, _ = build(config)
    if not method.needs_features:
        return []
    spacing = " x ".join(f"{mm:g}" for mm in config.preprocessing.spacing_mm)
    patch = " x ".join(map(str, config.train.patch))
    message = (
        f"{config.method} is lent a frozen segmenter (`train --features`), whose memory is "
        f"reckoned as that of a default {UNET.name!r}; it must be of this grid ({spacing} mm) "
        f"and take patches of {patch} voxels"
    )
    advice = "train the segmenter on this grid; where it is a larger network, plan for less memory"
    return [Problem("W_PLAN_FEATURES", message, advice)]
