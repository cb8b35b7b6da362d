"""Regression: the one-player baseline that every GAN is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from medgen.losses import l1_loss
from medgen.method import Answer, Batch, Clock, Losses, Method, Minimize, OptimizerSpec, Setting
from medgen.networks import UNET, GeneratorOptions


class Regression(Method):
    """Learn the target from the source of the same case by the mean absolute error alone.

    Its optimum is the conditional median of each voxel, so it wins on MAE and blurs where the
    source leaves the target open. Adam as in Kingma and Ba, ICLR 2015, betas (0.9, 0.999).
    """

    answering: ClassVar[frozenset[str]] = frozenset({"generator"})

    def __init__(
        self,
        setting: Setting,
        *,
        generator: GeneratorOptions = UNET,
        mask_loss: bool = True,
    ) -> None:
        super().__init__()
        self.mask_loss = mask_loss
        self.divisor = generator.divisor
        self.minimum_patch = generator.minimum_patch
        self.generator = generator.build(
            source_channels=setting.source_channels,
            target_channels=setting.target_channels,
            activation=setting.head,
        )

    @property
    def reads(self) -> tuple[frozenset[str], ...]:
        """Read pairs, and the mask where the loss is masked."""
        return (frozenset({"source", "target"} | ({"mask"} if self.mask_loss else set())),)

    @property
    def answers(self) -> Mapping[str, Answer]:
        """Answer with the target's image."""
        return {"forward": Answer("image", "source", "target")}

    def players(self) -> dict[str, nn.Module]:
        """Return the generator, alone."""
        return {"generator": self.generator}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        """Return Adam with its own paper's betas: there is no opponent to keep up with."""
        return {"generator": OptimizerSpec(betas=(0.9, 0.999))}

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        """Lower the mean absolute error."""
        mask = batch["mask"] if self.mask_loss else None
        l1 = l1_loss(self.generator(batch["source"]), batch["target"], mask)
        minimize("generator", l1)
        return {"l1": l1}

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        """Translate an encoded source; eval() and no_grad() are the caller's to choose."""
        if answer not in self.answers:
            raise ValueError(f"no answer {answer!r}; there is {', '.join(self.answers)}")
        translated: Tensor = self.generator(source)
        return translated
