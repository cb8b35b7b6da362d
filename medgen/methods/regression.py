"""Regression: the one-player baseline that every GAN is compared with."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from medgen.losses import l1_loss
from medgen.method import Batch, Clock, Losses, Minimize, OptimizerSpec, Setting
from medgen.methods.paired import Paired
from medgen.methods.terms import Term, Weight, weigh
from medgen.networks import UNET, GeneratorOptions


class Regression(Paired):
    """Learn the target from the source of the same case by the mean absolute error.

    Its optimum is the conditional median of each voxel, so it wins on MAE and blurs where the
    source leaves the target open. Adam as in Kingma and Ba, ICLR 2015, betas (0.9, 0.999).

    `lambda_ssim` and `lambda_features` add structural similarity and the features of a frozen
    segmenter (`train --features`); see `Paired.likeness`.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        generator: GeneratorOptions = UNET,
        lambda_ssim: Weight = 0.0,
        lambda_features: Weight = 0.0,
        mask_loss: bool = True,
    ) -> None:
        super().__init__(
            setting,
            generator,
            mask_loss=mask_loss,
            lambda_ssim=lambda_ssim,
            lambda_features=lambda_features,
        )

    def players(self) -> dict[str, nn.Module]:
        """Return the generator, alone."""
        return {"generator": self.generator}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        """Return Adam with its own paper's betas: there is no opponent to keep up with."""
        return {"generator": OptimizerSpec(betas=(0.9, 0.999))}

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        """Lower the mean absolute error, and what was added to it."""
        pair = self.pair(batch)
        fake = self.generator(pair.wide)
        total, losses = weigh(
            {
                "l1": Term(1.0, lambda: l1_loss(fake, pair.target, pair.mask)),
                **self.likeness(pair, fake),
            }
        )
        minimize("generator", total)
        return losses
