"""VAE: healthy anatomy as a distribution of latent vectors; what they cannot draw is unusual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from medgen.losses import l1_loss, normal_divergence
from medgen.method import Batch, Clock, Losses, Minimize, OptimizerSpec, Setting
from medgen.methods.dense_latent import Beta, DenseLatent, WarmUp, drawn
from medgen.methods.placed import split_place
from medgen.methods.residuals import anomaly_of
from medgen.methods.terms import Term, weigh
from medgen.networks import DENSE_AUTOENCODER, DenseAutoencoderOptions

EPSILON = 1e-3
"""Of Adam's steps: a gradient that is nothing but rounding moves no latent."""


class VAE(DenseLatent):
    """Learn healthy anatomy, and how far an image is from it, from healthy cases alone.

    Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014, with the beta of Higgins et al.,
    ICLR 2017, and the networks and the objective of Baur et al., Medical Image Analysis 2021: the
    mean over the batch of

        sum |x - D(z)| + beta KL(N(m, s^2) | N(0, 1)),   (m, log s) = E(x),  z ~ N(m, s^2).

    It is divided by the number of values in a window, N, so that it is the mean absolute error plus
    beta / N of the divergence, whatever the window. Their images span [0, 1] and have beta 1; here
    they span [-1, 1], where 2 is the same. The residual is x - D(m), and a window's score the same
    objective of m.

    Optionally the latent is *restored* (`restoration_steps`): from m on, it goes down the gradient
    of the score, with the encoder's s kept, by steps of Adam, and the best latent on the way is
    taken, so that a score is never raised. What the decoder can draw comes closer to the source
    then, and what it cannot stays in the residual. The restoration of the comparative study (Chen
    et al., Medical Image Analysis 2020) changes the image instead, under a total variation; here
    an answer remains an image of the decoder's.
    """

    answering: ClassVar[frozenset[str]] = frozenset({"autoencoder"})

    def __init__(
        self,
        setting: Setting,
        *,
        network: DenseAutoencoderOptions = DENSE_AUTOENCODER,
        beta: Beta = 1.0,
        beta_warm_up: WarmUp = 0.0,
        restoration_steps: Annotated[int, Field(ge=0)] = 0,
        restoration_rate: Annotated[float, Field(gt=0.0)] = 0.05,
        located: bool = False,
    ) -> None:
        super().__init__(setting, network, beta=beta, beta_warm_up=beta_warm_up, located=located)
        self.search_steps = restoration_steps
        self.restoration_rate = restoration_rate

    def players(self) -> dict[str, nn.Module]:
        """Return the autoencoder, alone."""
        return {"autoencoder": self.autoencoder}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        """Return the comparative study's Adam."""
        return {"autoencoder": OptimizerSpec(learning_rate=1e-4, betas=(0.5, 0.999))}

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        """Lower the error of a drawn latent's image, and the divergence of what it is drawn from.

        The divergence is logged in nats: the mean over the batch, of whole latents.
        """
        images, place = split_place(batch["source"], located=self.located)
        mean, log_sigma = self.autoencoder.encoder(images, place)
        reconstruction = self.autoencoder.decoder(drawn(mean, log_sigma), place)
        total, losses = weigh(
            {
                "l1": Term(1.0, lambda: l1_loss(reconstruction, images)),
                "divergence": Term(
                    self.beta / images[0].numel(),
                    lambda: normal_divergence(mean, log_sigma).mean(),
                    ramp=self.risen(clock),
                ),
            }
        )
        minimize("autoencoder", total)
        return losses

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        """Answer by the image of the latent's mean, or of the restored latent.

        eval() and no_grad() are the caller's to choose; restoring switches gradients on by itself,
        and gives no parameter one.
        """
        if answer not in self.answers:
            raise ValueError(f"no answer {answer!r}; there is {', '.join(self.answers)}")
        images, place = split_place(source.float(), located=self.located)
        latent, log_sigma = self.autoencoder.encoder(images, place)
        if self.search_steps:
            latent = self._restored(images, place, latent, log_sigma)
        reconstruction = self.autoencoder.decoder(latent, place)
        score = self._score(images, reconstruction, latent, log_sigma)
        return anomaly_of(images, reconstruction, score)

    def _score(
        self, images: Tensor, reconstruction: Tensor, latent: Tensor, log_sigma: Tensor
    ) -> Tensor:
        """Return the objective (B,) of images that were reconstructed from a latent."""
        error = (images - reconstruction).abs().flatten(1).mean(1)
        return error + self.beta / images[0].numel() * normal_divergence(latent, log_sigma)

    def _restored(
        self, images: Tensor, place: Tensor | None, mean: Tensor, log_sigma: Tensor
    ) -> Tensor:
        """Return for each image the latent (B, latent) of the lowest score on the way down.

        The sum over the batch is lowered: its gradient by one latent is of that latent's score
        alone, and Adam's steps are each number's own.
        """
        latent = mean.detach().clone().requires_grad_()
        best, lowest = mean, images.new_full((len(images),), torch.inf)
        descent = torch.optim.Adam([latent], lr=self.restoration_rate, eps=EPSILON)
        for _ in range(self.search_steps + 1):
            with torch.enable_grad():
                reconstruction = self.autoencoder.decoder(latent, place)
                score = self._score(images, reconstruction, latent, log_sigma.detach())
                (gradient,) = torch.autograd.grad(score.sum(), [latent])
            better = score.detach() < lowest
            lowest = torch.where(better, score.detach(), lowest)
            best = torch.where(better[:, None], latent.detach(), best)
            # By the objective's sum, beside which eps is small in windows of every size.
            latent.grad = gradient * images[0].numel()
            descent.step()
        return best
