"""Losses: pure functions of tensors, computed in float32."""

from medgen.losses.adversarial import Adversarial, discriminator_loss, generator_loss
from medgen.losses.overlap import cross_entropy_loss, dice_loss, shrink_label
from medgen.losses.reconstruction import l1_loss

__all__ = [
    "Adversarial",
    "cross_entropy_loss",
    "dice_loss",
    "discriminator_loss",
    "generator_loss",
    "l1_loss",
    "shrink_label",
]
