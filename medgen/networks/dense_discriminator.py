"""The judge of the dense autoencoder's images, whose layers also say how alike two images are."""

from __future__ import annotations

import math

from torch import Tensor, nn

from medgen.networks.dcgan import beside_place
from medgen.networks.dense_autoencoder import DenseAutoencoderOptions, Descent
from medgen.networks.exact import Exact
from medgen.problems import ConfigurationError, Problem


class DenseDiscriminator(nn.Module):
    """Judge images by the encoder's convolutions: one logit each, higher for real.

    Larsen et al., Autoencoding beyond pixels using a learned similarity metric, ICML 2016: strided
    convolutions of five voxels and a dense layer, and the map of one level as the measure by which
    a reconstruction is compared. Departure: no batch norm, which would take from the features how
    bright an image is as a whole; so real images and fakes may share a pass.

    Args:
        options: whose levels it has.
        channels: of the images.
        places: numbers that say where a window lies, given as constant channels; 0 for none.
        level: whose map is compared, from 1; None: the last but one, as in the paper.

    Raises:
        ConfigurationError: E_PATCH_SIZE, no window, or one that the levels do not fit;
            E_SIMILARITY_LEVEL, there is no such level.
    """

    def __init__(
        self,
        options: DenseAutoencoderOptions,
        *,
        channels: int,
        places: int = 0,
        level: int | None = None,
    ) -> None:
        super().__init__()
        levels = len(options.channels)
        self.level = max(1, levels - 1) if level is None else level
        if not 1 <= self.level <= levels:
            message = f"similarity_level {level} is no level of {options.name}, which has {levels}"
            advice = f"take one from 1 to {levels}, or leave it out"
            raise ConfigurationError(Problem("E_SIMILARITY_LEVEL", message, advice))
        self.descent = Descent(options, channels=channels + places, norm=False)
        self.head = Exact(nn.Linear(options.channels[-1] * math.prod(options.base), 1))

    def forward(self, images: Tensor, place: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return float32 logits (B, 1), and the map of the level that images are compared by.

        Of images (B, C, *window), at places (B, 3).
        """
        maps = self.descent(beside_place(images, place))
        return self.head(maps[-1].flatten(1)), maps[self.level - 1].float()
