"""The edge map of Ea-GAN."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from medgen.losses.precision import at_least_float32

OUTSIDE = -1.0
"""What lies beyond the image: the low end of an encoded scale."""


def sobel_edges(image: Tensor) -> Tensor:
    """Return how steep an image is: S(x) = 2 tanh(|Sobel(x)| / 4) - 1, in [-1, 1].

    Yu et al., Ea-GANs, IEEE TMI 38:1750, 2019. Each of the three kernels of 3^3 is a central
    difference +1, 0, -1 along one axis, smoothed by 1, 2, 1 along the other two; |.| is the
    Euclidean norm of the three. Beyond the image lies -1. Flat is -1, and the gradient is zero
    there, where the norm has none. A step of 0.5 already gives 0.93, with a fourteenth of a faint
    step's gradient; hot spots far above 1 on a linear scale have edges of 1, however steep, and no
    gradient. Their edge loss is the L1 of two such maps; under a mask, it is the mean over the mask
    of maps that were made of the whole images.

    Args:
        image: (B, C, X, Y, Z), encoded; each channel by itself.

    Returns:
        The same shape, float32.
    """
    padded = functional.pad(at_least_float32(image), (1, 1, 1, 1, 1, 1), value=OUTSIDE)
    smooth_z, rise_z = _smooth(padded, 4), _rise(padded, 4)
    squares = [
        _rise(_smooth(smooth_z, 3), 2).square(),
        _smooth(_rise(smooth_z, 3), 2).square(),
        _smooth(_smooth(rise_z, 3), 2).square(),
    ]
    return 2.0 * torch.tanh(_root(squares[0] + squares[1] + squares[2]) / 4.0) - 1.0


def _smooth(image: Tensor, axis: int) -> Tensor:
    """Filter by 1, 2, 1 along an axis, which loses a voxel at both ends."""
    pairs = image.narrow(axis, 0, image.shape[axis] - 1) + image.narrow(
        axis, 1, image.shape[axis] - 1
    )
    return pairs.narrow(axis, 0, pairs.shape[axis] - 1) + pairs.narrow(
        axis, 1, pairs.shape[axis] - 1
    )


def _rise(image: Tensor, axis: int) -> Tensor:
    """Return the central difference, not halved, along an axis, which loses both its ends."""
    last = image.shape[axis] - 2
    return image.narrow(axis, 2, last) - image.narrow(axis, 0, last)


def _root(squared: Tensor) -> Tensor:
    """Return the square root, with a gradient of zero at zero instead of an infinite one."""
    flat = squared == 0
    return torch.where(flat, 0.0, torch.where(flat, 1.0, squared).sqrt())
