"""Ea-GAN: a conditional GAN that is told where the edges are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from medgen.losses import discriminator_loss, generator_loss, l1_loss, sobel_edges
from medgen.method import Batch, Clock, Losses, Minimize, OptimizerSpec, Setting
from medgen.methods.paired import Paired
from medgen.methods.terms import Term, Weight, weigh
from medgen.networks import (
    DiscriminatorOptions,
    GeneratorOptions,
    PatchDiscriminatorOptions,
    Pix2PixUNetOptions,
    nameless_is,
)

GENERATOR = Pix2PixUNetOptions()
DISCRIMINATOR = PatchDiscriminatorOptions(channels=64, layers=3, norm="batch", padding=2)


def _completed(block: Any) -> Any:
    """Give a block of the paper's discriminator the paper's value of each key it leaves out."""
    if isinstance(block, Mapping) and block.get("name", DISCRIMINATOR.name) == DISCRIMINATOR.name:
        return {**DISCRIMINATOR.model_dump(), **block}
    return block


class EaGAN(Paired):
    """Learn the target from the source of the same case, edges included.

    Yu et al., Ea-GANs: edge-aware generative adversarial networks for cross-modality MR image
    synthesis, IEEE Trans. Med. Imaging 38, 2019. With S the Sobel edge map (`sobel_edges`), the
    generator lowers

        adversarial + lambda_l1 |y - G(x)| + lambda_edge |S(y) - S(G(x))|

    where lambda_edge rises linearly over the first 20 of the paper's 150 epochs (`edge_ramp`, a
    share of the stage's steps). The discriminator sees (x, y) in gEa-GAN (`edges: generator`) and
    (x, y, S(y)) in dEa-GAN (`edges: discriminator`), so that there the adversarial gradient reaches
    the generator through the edges of its answer as well. Adam, weights and least squares as in the
    authors' code.

    `smooth_labels` draws the discriminator's targets anew at each step, in [0.7, 1.2] for real
    images and in [0, 0.3] for fakes. Departures: each logit has its own target, and the generator's
    is 1; the authors' code draws one of each kind for all, keeps it, and gives the real one to the
    generator too. No pool of earlier images; the authors' pool mixed real and fake pairs. The
    batch's mask limits the losses and what the discriminator is shown. Dropout, an option of the
    authors', is one of the generator's. Its six levels suit patches of 64 voxels; the paper's
    patches of 128 take `generator: {levels: 7}`.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        generator: Annotated[GeneratorOptions, nameless_is(GENERATOR.name)] = GENERATOR,
        discriminator: Annotated[DiscriminatorOptions, BeforeValidator(_completed)] = DISCRIMINATOR,
        edges: Literal["generator", "discriminator"] = "discriminator",
        adversarial: Literal["least_squares", "bce"] = "least_squares",
        smooth_labels: bool = False,
        lambda_l1: Weight = 300.0,
        lambda_edge: Weight = 100.0,
        edge_ramp: Annotated[float, Field(ge=0.0, le=1.0)] = 20 / 150,
        mask_loss: bool = True,
    ) -> None:
        super().__init__(setting, generator, mask_loss=mask_loss)
        self.edges = edges
        self.adversarial: Literal["least_squares", "bce"] = adversarial
        self.smooth_labels = smooth_labels
        self.lambda_l1 = lambda_l1
        self.lambda_edge = lambda_edge
        self.edge_ramp = edge_ramp
        self.minimum_patch = max(self.minimum_patch, discriminator.minimum_patch)
        judged = 2 if edges == "discriminator" else 1
        self.discriminator = discriminator.build(
            source_channels=setting.source_channels,
            target_channels=judged * setting.target_channels,
        )

    def players(self) -> dict[str, nn.Module]:
        """Return the generator and the discriminator."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        """Return the authors' Adam for both: 2e-4, betas (0.5, 0.999)."""
        return {"generator": OptimizerSpec(), "discriminator": OptimizerSpec()}

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        """Move the discriminator, then the generator against the moved discriminator."""
        pair = self.pair(batch)
        fake = self.generator(pair.wide)
        # Hidden before their edges are taken: those at the mask's rim must not tell what lies
        # outside it.
        real_image, fake_image = pair.shown(pair.target), pair.shown(fake)

        real_logits, fake_logits = self.discriminator.judge(
            pair.source, self._judged(real_image), self._judged(fake_image.detach())
        )
        discriminator = discriminator_loss(
            self.adversarial, real_logits, fake_logits, smooth_labels=self.smooth_labels
        )
        minimize("discriminator", discriminator)

        fake_logits = self.discriminator(pair.source, self._judged(fake_image))
        total, losses = weigh(
            {
                "adversarial": Term(1.0, lambda: generator_loss(self.adversarial, fake_logits)),
                "l1": Term(self.lambda_l1, lambda: l1_loss(fake, pair.target, pair.mask)),
                "edge": Term(
                    self.lambda_edge,
                    lambda: l1_loss(sobel_edges(fake_image), sobel_edges(real_image), pair.mask),
                    ramp=self._edge_share(clock),
                ),
            }
        )
        minimize("generator", total)
        return {"discriminator": discriminator, **losses}

    def _judged(self, image: Tensor) -> Tensor:
        """Return what the discriminator judges: the image, in dEa-GAN with its edges."""
        if self.edges == "generator":
            return image
        return torch.cat([image, sobel_edges(image)], dim=1)

    def _edge_share(self, clock: Clock) -> float:
        """Return the share of lambda_edge that is in force: 0 at the start, 1 after the ramp."""
        return 1.0 if clock.progress >= self.edge_ramp else clock.progress / self.edge_ramp
