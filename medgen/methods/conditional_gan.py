"""Conditional GAN: pix2pix in 3D, and MedGAN's losses on its discriminator."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from medgen.losses import (
    Adversarial,
    discriminator_loss,
    generator_loss,
    l1_loss,
    perceptual_loss,
    style_loss,
)
from medgen.method import Batch, Clock, Losses, Minimize, OptimizerSpec, Setting
from medgen.methods.paired import Pair, Paired
from medgen.methods.terms import Term, Weight, weigh
from medgen.networks import PATCH_DISCRIMINATOR, UNET, DiscriminatorOptions, GeneratorOptions


class ConditionalGAN(Paired):
    """Learn the target from the source of the same case, by L1 and by a judge of realism.

    Isola et al., Image-to-image translation with conditional adversarial networks, CVPR 2017: a
    patch discriminator that sees the source as well, L1 with weight 100, and the discriminator
    moved first. Departures: three dimensions, instance norm, least squares by default (Mao et al.,
    ICCV 2017), and no dropout noise, since a conversion must not depend on chance.

    Four terms may be added, each off by default. `lambda_perceptual` and `lambda_style`: Armanious
    et al., MedGAN, Comput. Med. Imaging Graph. 2020: real and fake are compared by the
    discriminator's own layers, the image itself being the perceptual term's first. Departures:
    MedGAN's style features come from a VGG-19 of photographs, these from the discriminator; its
    content loss on those features is left out; and its generator moves three times for each move of
    the discriminator, this one once.
    `lambda_ssim` and `lambda_features`: see `Paired.likeness`.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        generator: GeneratorOptions = UNET,
        discriminator: DiscriminatorOptions = PATCH_DISCRIMINATOR,
        adversarial: Adversarial = "least_squares",
        lambda_l1: Weight = 100.0,
        lambda_perceptual: Weight = 0.0,
        lambda_style: Weight = 0.0,
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
        self.adversarial: Adversarial = adversarial
        self.lambda_l1 = lambda_l1
        self.lambda_perceptual = lambda_perceptual
        self.lambda_style = lambda_style
        self.minimum_patch = max(self.minimum_patch, discriminator.minimum_patch)
        self.discriminator = discriminator.build(
            source_channels=setting.source_channels, target_channels=setting.target_channels
        )

    def players(self) -> dict[str, nn.Module]:
        """Return the generator and the discriminator."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        """Return the paper's Adam for both: 2e-4, betas (0.5, 0.999)."""
        return {"generator": OptimizerSpec(), "discriminator": OptimizerSpec()}

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        """Move the discriminator, then the generator against the moved discriminator."""
        pair = self.pair(batch)
        fake = self.generator(pair.wide)

        real_logits, fake_logits = self.discriminator.judge(
            pair.source, pair.shown(pair.target), pair.shown(fake.detach())
        )
        discriminator = discriminator_loss(self.adversarial, real_logits, fake_logits)
        minimize("discriminator", discriminator)

        fake_logits = self.discriminator(pair.source, pair.shown(fake))
        total, losses = weigh(
            {
                "adversarial": Term(1.0, lambda: generator_loss(self.adversarial, fake_logits)),
                "l1": Term(self.lambda_l1, lambda: l1_loss(fake, pair.target, pair.mask)),
                **self.likeness(pair, fake),
                **self._medgan(pair, fake),
            }
        )
        minimize("generator", total)
        return {"discriminator": discriminator, **losses}

    def _medgan(self, pair: Pair, fake: Tensor) -> dict[str, Term]:
        """Return MedGAN's terms: the layers of the moved discriminator, computed once for both."""
        if self.lambda_perceptual == 0 and self.lambda_style == 0:
            return {}
        real_image, fake_image = pair.shown(pair.target), pair.shown(fake)
        with torch.no_grad():
            real = self.discriminator.features(pair.source, real_image)
        seen = self.discriminator.features(pair.source, fake_image)
        return {
            "perceptual": Term(
                self.lambda_perceptual,
                lambda: perceptual_loss((fake_image, *seen), (real_image, *real)),
            ),
            "style": Term(self.lambda_style, lambda: style_loss(seen, real)),
        }
