"""The gradient difference loss: edges as steep in the answer as in the truth."""

from __future__ import annotations

from torch import Tensor

from medgen.losses.masking import masked_mean
from medgen.losses.precision import at_least_float32

AXES = (2, 3, 4)


def gradient_difference_loss(
    prediction: Tensor, target: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Compare the steepness of two images, axis by axis, voxel by voxel.

    Sum over the three axes of the mean of (|d target| - |d prediction|)^2, d being the forward
    difference; as in Nie et al., MICCAI 2017 (after Mathieu et al., ICLR 2016, with alpha 2), but
    a mean per axis where their code sums over voxels: theirs is N times this for patches of N
    voxels. Beside `l2_loss`, whose sum is halved there, equal weights of theirs mean
    `l2_loss + 2 * gradient_difference_loss`, and an adversarial weight is divided by N / 2 (their
    0.05 becomes 2.4e-5 for patches of 16^3).

    Args:
        prediction: (B, C, X, Y, Z); an axis of one voxel has no differences and adds nothing.
        target: the same shape.
        mask: (B, 1, X, Y, Z), 0 or 1; a difference counts where both of its voxels are inside.

    Returns:
        A scalar; 0, with zero gradients, where no two neighbours are inside.
    """
    prediction, target = at_least_float32(prediction), at_least_float32(target)
    loss = prediction.new_zeros(())
    for axis in AXES:
        last = prediction.shape[axis] - 1
        if last < 1:
            continue
        steeper = prediction.diff(dim=axis).abs() - target.diff(dim=axis).abs()
        both = None
        if mask is not None:
            both = mask.narrow(axis, 0, last) * mask.narrow(axis, 1, last)
        loss = loss + masked_mean(steeper.square(), both)
    return loss
