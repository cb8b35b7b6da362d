"""f-AnoGAN: AnoGAN's question, answered by an encoder in one pass instead of by a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from medgen.losses import (
    gradient_penalty,
    l2_loss,
    wasserstein_critic_loss,
    wasserstein_generator_loss,
)
from medgen.method import (
    Answer,
    Batch,
    Clock,
    Generative,
    Losses,
    Minimize,
    OptimizerSpec,
    Setting,
    Stage,
)
from medgen.methods.placed import PLACES, middle, split_place
from medgen.methods.residuals import anomaly_of
from medgen.methods.terms import Term, Weight, weigh
from medgen.networks import RESIDUAL_GAN, ResidualGanOptions

GAN, ENCODER = "gan", "encoder"


class FAnoGAN(Generative):
    """Learn healthy anatomy, and how far an image is from it, from healthy cases alone.

    Schlegl et al., f-AnoGAN: fast unsupervised anomaly detection with generative adversarial
    networks, Medical Image Analysis 54, 2019. First a Wasserstein GAN with gradient penalty (weight
    10) learns to draw windows: a step moves the critic, and each `critic_steps`-th the generator,
    so that there are five moves of the critic for one of the generator. Then both rest, and an
    encoder E learns, guided by the critic's features f (izi_f), to lead images to their latent:

        mean (x - G(E(x)))^2 + kappa mean (f(x) - f(G(E(x))))^2,  kappa = 1 (`lambda_features`),

    which is also a window's score. The residual is x - G(E(x)). Adam (1e-4, betas (0, 0.9)) and
    RMSProp (5e-5) as in the authors' code, which has 50,000 steps of batches of 64 for the encoder.
    The paper trains the GAN for 20 epochs; here it has four fifths of the run's steps.
    """

    answering: ClassVar[frozenset[str]] = frozenset({"generator", "critic", "encoder"})
    stages = (
        Stage(GAN, frozenset({"generator", "critic"}), 0.8),
        Stage(ENCODER, frozenset({"encoder"}), 0.2),
    )
    windows_at_once = 16

    def __init__(
        self,
        setting: Setting,
        *,
        network: ResidualGanOptions = RESIDUAL_GAN,
        critic_steps: Annotated[int, Field(ge=1)] = 5,
        lambda_penalty: Weight = 10.0,
        lambda_features: Weight = 1.0,
        located: bool = False,
    ) -> None:
        super().__init__()
        self.critic_steps = critic_steps
        self.lambda_penalty = lambda_penalty
        self.lambda_features = lambda_features
        self.located = located
        self.window = network.size
        self.latent = network.latent
        channels, places = setting.source_channels, PLACES if located else 0
        self.generator = network.build_generator(
            channels=channels, activation=setting.source_head, places=places
        )
        self.critic = network.build_critic(channels=channels, places=places)
        self.encoder = network.build_encoder(channels=channels, places=places)

    @property
    def reads(self) -> tuple[frozenset[str], ...]:
        """Read sources of healthy cases."""
        return (frozenset({"source"}),)

    @property
    def answers(self) -> Mapping[str, Answer]:
        """Answer with residual and score."""
        return {"forward": Answer("anomaly", "source", "source")}

    def players(self) -> dict[str, nn.Module]:
        """Return the generator, the critic and the encoder."""
        return {"generator": self.generator, "critic": self.critic, "encoder": self.encoder}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        """Return the authors' Adam for the GAN and RMSProp for the encoder."""
        adam = OptimizerSpec(learning_rate=1e-4, betas=(0.0, 0.9))
        rmsprop = OptimizerSpec("rmsprop", learning_rate=5e-5)
        return {"generator": adam, "critic": adam, "encoder": rmsprop}

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        """Move the critic and now and then the generator; in the second stage the encoder."""
        real, place = split_place(batch["source"], located=self.located)
        if clock.stage == ENCODER:
            return self._guide(real, place, minimize)
        with torch.no_grad():
            fake = self._drawn(real, place)
        of_real, of_fake = self.critic(real, place), self.critic(fake, place)
        total, losses = weigh(
            {
                "critic": Term(1.0, lambda: wasserstein_critic_loss(of_real, of_fake)),
                "penalty": Term(
                    self.lambda_penalty,
                    lambda: gradient_penalty(lambda image: self.critic(image, place), real, fake),
                ),
            }
        )
        minimize("critic", total)

        # Logged in every step, from the critic's own pass where the generator rests.
        fooled = wasserstein_generator_loss(of_fake.detach())
        if clock.step % self.critic_steps == 0:
            fooled = wasserstein_generator_loss(self.critic(self._drawn(real, place), place))
            minimize("generator", fooled)
        return {**losses, "generator": fooled}

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        """Encode and draw each window; eval() and no_grad() are the caller's to choose."""
        if answer not in self.answers:
            raise ValueError(f"no answer {answer!r}; there is {', '.join(self.answers)}")
        image, place = split_place(source, located=self.located)
        drawn = self.generator(self.encoder(image, place), place)
        residual = (image - drawn).square().flatten(1).mean(1)
        apart = self.critic.features(image, place).float() - self.critic.features(drawn, place)
        score = residual + self.lambda_features * apart.float().square().mean(1)
        return anomaly_of(image, drawn, score)

    def generate(self, latent: Tensor, place: Tensor | None = None) -> Tensor:
        """Draw images (B, C, *window) of latents (B, latent), at places (B, 3) if it is located."""
        images: Tensor = self.generator(latent, middle(latent, place, located=self.located))
        return images

    def _drawn(self, real: Tensor, place: Tensor | None) -> Tensor:
        """Draw as many images as there are real ones, at their places, from new latents."""
        latent = torch.randn(len(real), self.latent, device=real.device)
        images: Tensor = self.generator(latent, place)
        return images

    def _guide(self, real: Tensor, place: Tensor | None, minimize: Minimize) -> Losses:
        """Move the encoder towards latents whose images look like the real ones."""
        drawn = self.generator(self.encoder(real, place), place)

        def apart() -> Tensor:
            with torch.no_grad():
                wanted = self.critic.features(real, place)
            return l2_loss(self.critic.features(drawn, place), wanted)

        total, losses = weigh(
            {
                "reconstruction": Term(1.0, lambda: l2_loss(drawn, real)),
                "features": Term(self.lambda_features, apart),
            }
        )
        minimize("encoder", total)
        return losses
