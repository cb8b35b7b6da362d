"""AnoGAN: images that no latent vector of a GAN of healthy anatomy leads to are unusual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from medgen.config.values import Fraction
from medgen.losses import discriminator_loss, generator_loss
from medgen.method import (
    Answer,
    Batch,
    Clock,
    Generative,
    Losses,
    Minimize,
    OptimizerSpec,
    Setting,
)
from medgen.methods.placed import PLACES, middle, split_place
from medgen.methods.residuals import anomaly_of
from medgen.networks import DCGAN, DcganOptions

START_SEED = 0
"""Of the one latent vector that every search starts from."""


class AnoGAN(Generative):
    """Learn healthy anatomy, and how far an image is from it, from healthy cases alone.

    Schlegl et al., Unsupervised anomaly detection with generative adversarial networks to guide
    marker discovery, IPMI 2017. A DCGAN learns to draw windows of healthy images. A window x is
    answered by a search for the latent vector whose image G(z) comes closest to it: Gamma =
    `search_steps` steps of Adam on

        L(z) = (1 - lambda) sum |x - G(z)| + lambda sum |f(x) - f(G(z))|,  lambda = 0.1,

    f being the discriminator's last hidden layer. The residual is x - G(z) of the last z, and the
    window's score is L of it over the number of values in the window: the paper's score A, made to
    mean the same in windows of every size.

    Departures: every search starts from the same draw of N(0, I), so that an answer is a function
    of the source, whatever the seed; windows are searched for in fp32, several at a time, each by
    itself. A batch of another size rounds differently, which many steps can make visible. The
    paper leaves the rate of the search open: with a small generator trained on blobs, 500 steps at
    0.03 came closer to its own images and to new ones than at 0.01, and much closer than at 0.003.
    """

    answering: ClassVar[frozenset[str]] = frozenset({"generator", "discriminator"})
    windows_at_once = 16
    start: Tensor

    def __init__(
        self,
        setting: Setting,
        *,
        network: DcganOptions = DCGAN,
        search_steps: Annotated[int, Field(ge=1)] = 500,
        search_rate: Annotated[float, Field(gt=0.0)] = 0.03,
        lambda_features: Fraction = 0.1,
        located: bool = False,
    ) -> None:
        super().__init__()
        self.search_steps = search_steps
        self.search_rate = search_rate
        self.lambda_features = lambda_features
        self.located = located
        self.window = network.size
        self.latent = network.latent
        channels, places = setting.source_channels, PLACES if located else 0
        self.generator = network.build_generator(
            channels=channels, activation=setting.source_head, places=places
        )
        self.discriminator = network.build_discriminator(channels=channels, places=places)
        seeded = torch.Generator().manual_seed(START_SEED)
        start = torch.randn(1, self.latent, generator=seeded)
        self.register_buffer("start", start, persistent=False)

    @property
    def reads(self) -> tuple[frozenset[str], ...]:
        """Read sources of healthy cases."""
        return (frozenset({"source"}),)

    @property
    def answers(self) -> Mapping[str, Answer]:
        """Answer with residual and score."""
        return {"forward": Answer("anomaly", "source", "source")}

    def players(self) -> dict[str, nn.Module]:
        """Return the generator and the discriminator."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        """Return DCGAN's Adam for both: 2e-4, betas (0.5, 0.999)."""
        return {"generator": OptimizerSpec(), "discriminator": OptimizerSpec()}

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        """Move the discriminator, then the generator against the moved discriminator."""
        real, place = split_place(batch["source"], located=self.located)
        latent = torch.randn(len(real), self.latent, device=real.device)
        fake = self.generator(latent, place)

        of_real = self.discriminator(real, place)
        of_fake = self.discriminator(fake.detach(), place)
        told = discriminator_loss("bce", of_real, of_fake)
        minimize("discriminator", told)

        fooled = generator_loss("bce", self.discriminator(fake, place))
        minimize("generator", fooled)
        return {"discriminator": told, "generator": fooled}

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        """Search each window's latent vector; eval() is the caller's to choose.

        Switches gradients on by itself; no parameter is given one.
        """
        if answer not in self.answers:
            raise ValueError(f"no answer {answer!r}; there is {', '.join(self.answers)}")
        with torch.autocast(source.device.type, enabled=False):
            image, place = split_place(source.float().contiguous(), located=self.located)
            with torch.no_grad():
                wanted = self.discriminator.features(image, place)
            latent = self._found(image, wanted, place)
            with torch.no_grad():
                drawn = self.generator(latent, place)
                score = self._loss(image, wanted, drawn, place) / image[0].numel()
        return anomaly_of(image, drawn, score)

    def generate(self, latent: Tensor, place: Tensor | None = None) -> Tensor:
        """Draw images (B, C, *window) of latents (B, latent), at places (B, 3) if it is located."""
        images: Tensor = self.generator(latent, middle(latent, place, located=self.located))
        return images

    def _found(self, image: Tensor, wanted: Tensor, place: Tensor | None) -> Tensor:
        """Return the latents (B, latent) that the searches end at.

        The sum over the batch is lowered: its gradient by one latent is of that latent's loss
        alone, and Adam's steps are each coordinate's own.
        """
        latent = self.start.repeat(len(image), 1).requires_grad_()
        search = torch.optim.Adam([latent], lr=self.search_rate)
        with torch.enable_grad():
            for _ in range(self.search_steps):
                drawn = self.generator(latent, place)
                loss = self._loss(image, wanted, drawn, place).sum()
                (latent.grad,) = torch.autograd.grad(loss, [latent])
                search.step()
        return latent.detach()

    def _loss(self, image: Tensor, wanted: Tensor, drawn: Tensor, place: Tensor | None) -> Tensor:
        """Return L (B,) of drawn images, given the features that the images have."""
        residual = (image - drawn).abs().flatten(1).sum(1)
        features = self.discriminator.features(drawn, place)
        apart = (wanted - features).abs().flatten(1).sum(1)
        return (1.0 - self.lambda_features) * residual + self.lambda_features * apart
