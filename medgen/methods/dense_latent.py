"""What the variational autoencoders share: a dense latent, its divergence, and its answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from medgen.config.values import Fraction
from medgen.method import Answer, Clock, Generative, Setting
from medgen.methods.placed import PLACES, middle
from medgen.networks import DenseAutoencoderOptions

Beta = Annotated[float, Field(ge=0.0)]
"""The weight of the divergence beside a *sum* of what is compared; divided by how much that is,
it stands beside the mean. 1 is a variational autoencoder's."""

WarmUp = Fraction
"""The share of the stage's steps in which beta rises from 0, in proportion."""


class DenseLatent(Generative):
    """A method with an encoder to normal distributions of a latent vector, and a decoder."""

    windows_at_once = 16

    def __init__(
        self,
        setting: Setting,
        network: DenseAutoencoderOptions,
        *,
        beta: float,
        beta_warm_up: float,
        located: bool,
    ) -> None:
        super().__init__()
        self.beta = beta
        self.beta_warm_up = beta_warm_up
        self.located = located
        self.window = network.size
        self.latent = network.latent
        self.autoencoder = network.build(
            channels=setting.source_channels,
            activation=setting.source_head,
            places=PLACES if located else 0,
        )

    @property
    def reads(self) -> tuple[frozenset[str], ...]:
        """Read sources of healthy cases."""
        return (frozenset({"source"}),)

    @property
    def answers(self) -> Mapping[str, Answer]:
        """Answer with residual and score."""
        return {"forward": Answer("anomaly", "source", "source")}

    def generate(self, latent: Tensor, place: Tensor | None = None) -> Tensor:
        """Decode latents (B, latent), at places (B, 3) if it is located."""
        images: Tensor = self.autoencoder.decoder(
            latent, middle(latent, place, located=self.located)
        )
        return images

    def risen(self, clock: Clock) -> float:
        """Return the share of beta that is in force, in [0, 1]."""
        return 1.0 if self.beta_warm_up == 0 else min(1.0, clock.progress / self.beta_warm_up)


def drawn(mean: Tensor, log_sigma: Tensor) -> Tensor:
    """Draw a latent of each distribution (B, latent), so that gradients flow to both."""
    return mean + torch.randn_like(mean) * log_sigma.exp()
