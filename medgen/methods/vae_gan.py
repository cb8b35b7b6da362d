"""VAE-GAN: a variational autoencoder that compares images by what a discriminator sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from medgen.losses import (
    discriminator_loss,
    generator_loss,
    l1_loss,
    l2_loss,
    normal_divergence,
)
from medgen.method import Batch, Clock, Losses, Minimize, OptimizerSpec, Setting
from medgen.methods.dense_latent import Beta, DenseLatent, WarmUp, drawn
from medgen.methods.placed import PLACES, split_place
from medgen.methods.residuals import anomaly_of
from medgen.methods.terms import Term, Weight, weigh
from medgen.networks import DENSE_AUTOENCODER, DenseAutoencoderOptions, DenseDiscriminator


class VAEGAN(DenseLatent):
    """Learn healthy anatomy, and how far an image is from it, from healthy cases alone.

    Larsen et al., Autoencoding beyond pixels using a learned similarity metric, ICML 2016. With
    f the map of one of the discriminator's levels, F values of an image x, the paper's losses are

        prior  = KL(N(m, s^2) | N(0, 1)),  (m, log s) = E(x)
        like   = 1/2 sum (f(x) - f(D(z)))^2,  z ~ N(m, s^2)
        gan    = log Dis(x) + log(1 - Dis(D(z))) + log(1 - Dis(D(p))),  p ~ N(0, 1)

    and each of the three players has its own: the encoder lowers prior + like, the decoder
    gamma like - gan, the discriminator -gan, which never learns from the likeness.

    Here `like` is a mean over f's values. So the encoder's divergence is weighed by beta / F, and
    `gamma` is the paper's times F: its 1e-6 would be 0.03 for a map of 128 features of 6 x 6 x 6.
    The residual is x - D(m), and a window's score the encoder's objective of m, for which the
    discriminator is exported too. Departures: the decoder's adversarial loss does not saturate,
    the two kinds of fakes share one half of the discriminator's loss, which has no norm (see
    `DenseDiscriminator`), and `lambda_l1` may add the error of voxels to encoder and decoder,
    without which nothing asks for the source's own grey values.
    """

    answering: ClassVar[frozenset[str]] = frozenset({"encoder", "decoder", "discriminator"})

    def __init__(
        self,
        setting: Setting,
        *,
        network: DenseAutoencoderOptions = DENSE_AUTOENCODER,
        beta: Beta = 1.0,
        beta_warm_up: WarmUp = 0.0,
        gamma: Annotated[float, Field(gt=0.0)] = 1.0,
        lambda_l1: Weight = 0.0,
        similarity_level: Annotated[int, Field(ge=1)] | None = None,
        located: bool = False,
    ) -> None:
        super().__init__(setting, network, beta=beta, beta_warm_up=beta_warm_up, located=located)
        self.gamma = gamma
        self.lambda_l1 = lambda_l1
        self.discriminator = DenseDiscriminator(
            network,
            channels=setting.source_channels,
            places=PLACES if located else 0,
            level=similarity_level,
        )

    def players(self) -> dict[str, nn.Module]:
        """Return the encoder, the decoder and the discriminator."""
        return {
            "encoder": self.autoencoder.encoder,
            "decoder": self.autoencoder.decoder,
            "discriminator": self.discriminator,
        }

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        """Return the paper's RMSProp for all three: 3e-4."""
        return dict.fromkeys(self.players(), OptimizerSpec("rmsprop", learning_rate=3e-4))

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        """Move the discriminator, then the encoder, then the decoder.

        A move frees the graphs that its loss has, so an image that two players learn from is
        decoded twice, the second time from a latent that leads to the encoder no more.
        """
        images, place = split_place(batch["source"], located=self.located)
        mean, log_sigma = self.autoencoder.encoder(images, place)
        latent = drawn(mean, log_sigma)
        reconstruction = self.autoencoder.decoder(latent, place)
        sample = self.autoencoder.decoder(torch.randn_like(latent), place)

        judged = self._judge(images, reconstruction.detach(), sample.detach(), place)
        minimize("discriminator", judged)

        with torch.no_grad():
            _, wanted = self.discriminator(images, place)
        total, losses = weigh(
            {
                "likeness": Term(1.0, lambda: self._likeness(reconstruction, place, wanted)),
                "divergence": Term(
                    self.beta / wanted[0].numel(),
                    lambda: normal_divergence(mean, log_sigma).mean(),
                    ramp=self.risen(clock),
                ),
                "l1": Term(self.lambda_l1, lambda: l1_loss(reconstruction, images)),
            }
        )
        minimize("encoder", total)

        again = self.autoencoder.decoder(latent.detach(), place)
        adversarial = self._decode(images, again, sample, place, wanted, minimize)
        return {"discriminator": judged, **losses, "adversarial": adversarial}

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        """Answer by the image of the latent's mean; eval() and no_grad() are the caller's."""
        if answer not in self.answers:
            raise ValueError(f"no answer {answer!r}; there is {', '.join(self.answers)}")
        images, place = split_place(source.float(), located=self.located)
        mean, log_sigma = self.autoencoder.encoder(images, place)
        reconstruction = self.autoencoder.decoder(mean, place)
        _, wanted = self.discriminator(images, place)
        _, seen = self.discriminator(reconstruction, place)
        likeness = 0.5 * (wanted - seen).square().flatten(1).mean(1)
        divergence = normal_divergence(mean, log_sigma) * (self.beta / wanted[0].numel())
        voxels = self.lambda_l1 * (images - reconstruction).abs().flatten(1).mean(1)
        return anomaly_of(images, reconstruction, likeness + divergence + voxels)

    def _judge(
        self, images: Tensor, reconstruction: Tensor, sample: Tensor, place: Tensor | None
    ) -> Tensor:
        """Return the discriminator's loss on images and on both kinds of fakes."""
        of_real, _ = self.discriminator(images, place)
        of_fakes = self._logits_of_both(reconstruction, sample, place)
        return discriminator_loss("bce", of_real, of_fakes)

    def _decode(
        self,
        images: Tensor,
        reconstruction: Tensor,
        sample: Tensor,
        place: Tensor | None,
        wanted: Tensor,
        minimize: Minimize,
    ) -> Tensor:
        """Move the decoder by both kinds of fakes; return its adversarial loss."""
        fakes = self._logits_of_both(reconstruction, sample, place)
        total, losses = weigh(
            {
                "adversarial": Term(1.0, lambda: generator_loss("bce", fakes)),
                "likeness": Term(self.gamma, lambda: self._likeness(reconstruction, place, wanted)),
                "l1": Term(self.lambda_l1, lambda: l1_loss(reconstruction, images)),
            }
        )
        minimize("decoder", total)
        return losses["adversarial"]

    def _logits_of_both(self, one: Tensor, other: Tensor, place: Tensor | None) -> Tensor:
        """Return the logits of two kinds of fakes at the same places, in one pass."""
        places = None if place is None else place.repeat(2, 1)
        logits: Tensor
        logits, _ = self.discriminator(torch.cat([one, other]), places)
        return logits

    def _likeness(self, images: Tensor, place: Tensor | None, wanted: Tensor) -> Tensor:
        """Return half of the mean squared difference of images' features from those wanted."""
        _, seen = self.discriminator(images, place)
        return 0.5 * l2_loss(seen, wanted)
