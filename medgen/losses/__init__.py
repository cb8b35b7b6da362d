"""Losses: pure functions of tensors, computed in float32.

Every loss is a mean over voxels and samples, so that its weight holds for patches of any size;
where a paper sums, the function says by how much its weights change.
"""

from medgen.losses.adversarial import (
    Adversarial,
    discriminator_loss,
    generator_loss,
    undecided_loss,
)
from medgen.losses.divergence import normal_divergence
from medgen.losses.edges import sobel_edges
from medgen.losses.features import anatomical_loss, perceptual_loss, style_loss
from medgen.losses.gradient_penalty import gradient_penalty
from medgen.losses.gradients import gradient_difference_loss
from medgen.losses.masking import hide_outside
from medgen.losses.overlap import cross_entropy_loss, dice_loss, shrink_label
from medgen.losses.reconstruction import l1_loss, l2_loss
from medgen.losses.ssim import SSIM_WINDOW, ssim_loss
from medgen.losses.structure import mutual_information_loss, normalised_gradient_loss
from medgen.losses.wasserstein import wasserstein_critic_loss, wasserstein_generator_loss

__all__ = [
    "SSIM_WINDOW",
    "Adversarial",
    "anatomical_loss",
    "cross_entropy_loss",
    "dice_loss",
    "discriminator_loss",
    "generator_loss",
    "gradient_difference_loss",
    "gradient_penalty",
    "hide_outside",
    "l1_loss",
    "l2_loss",
    "mutual_information_loss",
    "normal_divergence",
    "normalised_gradient_loss",
    "perceptual_loss",
    "shrink_label",
    "sobel_edges",
    "ssim_loss",
    "style_loss",
    "undecided_loss",
    "wasserstein_critic_loss",
    "wasserstein_generator_loss",
]
