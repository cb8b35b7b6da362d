"""Context-aware GAN: a fully convolutional net, sharp by its loss and judged as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import nn

from medgen.losses import (
    Adversarial,
    discriminator_loss,
    generator_loss,
    gradient_difference_loss,
    l2_loss,
)
from medgen.method import Batch, Clock, Losses, Minimize, OptimizerSpec, Setting
from medgen.methods.paired import Paired
from medgen.methods.terms import Term, Weight, weigh
from medgen.networks import (
    ContextDiscriminatorOptions,
    ContextFCNOptions,
    DiscriminatorOptions,
    GeneratorOptions,
    nameless_is,
)

GENERATOR = ContextFCNOptions()
DISCRIMINATOR = ContextDiscriminatorOptions()


class ContextAwareGAN(Paired):
    """Learn the target from the source of the same case and what lies around it.

    Nie et al., Medical image synthesis with context-aware generative adversarial networks, MICCAI
    2017: valid convolutions, so that each answer is computed from real context (`margin`); squared
    error, gradient difference and a discriminator that sees the image alone, never its source. The
    paper's auto-context, in which a second net also reads the first one's answer for the whole
    volume, is `chain: {stages: 2, feed: append}`. `generator: {long_residual: true}` adds the
    source to the answer, as Nie et al., IEEE Trans. Biomed. Eng. 65, 2018.

    The weights are the authors' 1, 1 and 0.05, which they gave to sums: half the squared error and
    the gradient difference over all N voxels of an answer, beside one cross-entropy for each
    answer. The losses here are means, so the same objective, times 2 / N, is

        lambda_l2 L2 + 2 lambda_gradient GDL + (2 lambda_adversarial / N) adversarial

    and the paper's balance holds at any patch size (N = 4096 for its 16 x 16 x 16 voxels). Given to
    the means as it stands, 0.05 would make the adversary 2,000 times too strong.

    Adam with betas (0.5, 0.999) as in the authors' code. Departures: learning rate 1e-4 instead of
    their 2e-7, which took 500,000 steps and went with the sums; no weight decay, since theirs is
    2e-7 when it is scaled like the rest; the batch's mask limits the losses and what the
    discriminator is shown.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        generator: Annotated[GeneratorOptions, nameless_is(GENERATOR.name)] = GENERATOR,
        discriminator: Annotated[
            DiscriminatorOptions, nameless_is(DISCRIMINATOR.name)
        ] = DISCRIMINATOR,
        adversarial: Adversarial = "bce",
        lambda_l2: Annotated[float, Field(gt=0.0)] = 1.0,
        lambda_gradient: Weight = 1.0,
        lambda_adversarial: Weight = 0.05,
        mask_loss: bool = True,
    ) -> None:
        super().__init__(setting, generator, mask_loss=mask_loss)
        self.adversarial: Adversarial = adversarial
        self.lambda_l2 = lambda_l2
        self.lambda_gradient = lambda_gradient
        self.lambda_adversarial = lambda_adversarial
        self.minimum_patch = max(self.minimum_patch, discriminator.minimum_patch)
        self.discriminator = discriminator.build(
            source_channels=0, target_channels=setting.target_channels
        )

    def players(self) -> dict[str, nn.Module]:
        """Return the generator and the discriminator."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        """Return the authors' Adam for both, at a learning rate for means."""
        adam = OptimizerSpec(learning_rate=1e-4, betas=(0.5, 0.999))
        return {"generator": adam, "discriminator": adam}

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        """Move the discriminator, then the generator against the moved discriminator."""
        pair = self.pair(batch)
        fake = self.generator(pair.wide)
        nothing = pair.source[:, :0]  # no channel of the source: any discriminator is unconditional

        real_logits, fake_logits = self.discriminator.judge(
            nothing, pair.shown(pair.target), pair.shown(fake.detach())
        )
        discriminator = discriminator_loss(self.adversarial, real_logits, fake_logits)
        minimize("discriminator", discriminator)

        voxels = fake[0].numel()
        total, losses = weigh(
            {
                "l2": Term(self.lambda_l2, lambda: l2_loss(fake, pair.target, pair.mask)),
                "gradient": Term(
                    2 * self.lambda_gradient,
                    lambda: gradient_difference_loss(fake, pair.target, pair.mask),
                ),
                "adversarial": Term(
                    2 * self.lambda_adversarial / voxels,
                    lambda: generator_loss(
                        self.adversarial, self.discriminator(nothing, pair.shown(fake))
                    ),
                ),
            }
        )
        minimize("generator", total)
        return {"discriminator": discriminator, **losses}
