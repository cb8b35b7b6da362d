"""Conditional GAN: pix2pix in 3D."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from medgen.losses import Adversarial, discriminator_loss, generator_loss, l1_loss
from medgen.method import Answer, Batch, Clock, Losses, Method, Minimize, OptimizerSpec, Setting
from medgen.networks import PATCH_DISCRIMINATOR, UNET, DiscriminatorOptions, GeneratorOptions

OUTSIDE = -1.0
"""What the discriminator is shown outside the mask: the low end of an encoded scale."""


class ConditionalGAN(Method):
    """Learn the target from the source of the same case, by L1 and by a judge of realism.

    Isola et al., Image-to-image translation with conditional adversarial networks, CVPR 2017: a
    patch discriminator that sees the source as well, L1 with weight 100, and the discriminator
    moved first. Departures: three dimensions, instance norm, least squares by default (Mao et al.,
    ICCV 2017), and no dropout noise, since a conversion must not depend on chance.
    """

    answering: ClassVar[frozenset[str]] = frozenset({"generator"})

    def __init__(
        self,
        setting: Setting,
        *,
        generator: GeneratorOptions = UNET,
        discriminator: DiscriminatorOptions = PATCH_DISCRIMINATOR,
        adversarial: Adversarial = "least_squares",
        lambda_l1: Annotated[float, Field(ge=0.0)] = 100.0,
        mask_loss: bool = True,
    ) -> None:
        super().__init__()
        self.adversarial: Adversarial = adversarial
        self.lambda_l1 = lambda_l1
        self.mask_loss = mask_loss
        self.divisor = generator.divisor
        self.minimum_patch = max(generator.minimum_patch, discriminator.minimum_patch)
        self.generator = generator.build(
            source_channels=setting.source_channels,
            target_channels=setting.target_channels,
            activation=setting.head,
        )
        self.discriminator = discriminator.build(
            source_channels=setting.source_channels, target_channels=setting.target_channels
        )

    @property
    def reads(self) -> tuple[frozenset[str], ...]:
        """Read pairs, and the mask where the losses are masked."""
        return (frozenset({"source", "target"} | ({"mask"} if self.mask_loss else set())),)

    @property
    def answers(self) -> Mapping[str, Answer]:
        """Answer with the target's image."""
        return {"forward": Answer("image", "source", "target")}

    def players(self) -> dict[str, nn.Module]:
        """Return the generator and the discriminator."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        """Return the paper's Adam for both: 2e-4, betas (0.5, 0.999)."""
        return {"generator": OptimizerSpec(), "discriminator": OptimizerSpec()}

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        """Move the discriminator, then the generator against the moved discriminator."""
        source, target = batch["source"], batch["target"]
        mask = batch["mask"] if self.mask_loss else None
        fake = self.generator(source)

        # Without batch norm the two judgements do not see each other, and one pass is quicker.
        pairs = torch.cat([target, fake.detach()])
        real_logits, fake_logits = self._judge(source, pairs, mask).chunk(2)
        discriminator = discriminator_loss(self.adversarial, real_logits, fake_logits)
        minimize("discriminator", discriminator)

        adversarial = generator_loss(self.adversarial, self._judge(source, fake, mask))
        l1 = l1_loss(fake, target, mask)
        minimize("generator", adversarial + self.lambda_l1 * l1)
        return {"discriminator": discriminator, "adversarial": adversarial, "l1": l1}

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        """Translate an encoded source; eval() and no_grad() are the caller's to choose."""
        if answer not in self.answers:
            raise ValueError(f"no answer {answer!r}; there is {', '.join(self.answers)}")
        translated: Tensor = self.generator(source)
        return translated

    def _judge(self, source: Tensor, images: Tensor, mask: Tensor | None) -> Tensor:
        """Return the logits of one or more batches of images of the same sources.

        Outside the mask L1 leaves the generator untrained and the target may hold a table, a
        mould or nothing at all. Shown that, the discriminator would tell fakes by it and the
        generator would spend itself there; so real and fake are given the same constant.
        """
        times = len(images) // len(source)
        if mask is not None:
            images = torch.where(mask.repeat(times, 1, 1, 1, 1) > 0.5, images, OUTSIDE)
        logits: Tensor = self.discriminator(source.repeat(times, 1, 1, 1, 1), images)
        return logits
