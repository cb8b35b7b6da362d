"""Structural similarity as a loss, by separable windows."""

from __future__ import annotations

import torch
from torch import Tensor

from medgen.losses.masking import masked_mean
from medgen.losses.precision import at_least_float32, without_autocast
from medgen.problems import ConfigurationError, Problem

SIGMA = 1.5
SSIM_WINDOW = 11
"""The length of a window in voxels, and so the shortest patch."""
LUMINANCE, CONTRAST = 0.01, 0.03
AXES = (2, 3, 4)


def ssim_loss(
    prediction: Tensor, target: Tensor, mask: Tensor | None = None, *, data_range: float = 2.0
) -> Tensor:
    """Return one minus the mean structural similarity.

    Wang et al., Image quality assessment, IEEE TIP 13:600, 2004, in three dimensions: Gaussian
    windows of standard deviation 1.5 voxels and 11 taps, K1 = 0.01, K2 = 0.03, moments weighted by
    the window and not corrected for its size. Windows that reach beyond the patch are left out, so
    a patch of n voxels has n - 10 along an axis. The values are those of MONAI's SSIMLoss.

    Args:
        prediction: (B, C, X, Y, Z), at least 11 voxels along each axis, its lowest value zero:
            levels are compared by their ratio, so an encoded image is raised by one first.
        target: the same.
        mask: (B, 1, X, Y, Z), 0 or 1; a window counts where its centre is inside. It sees what
            lies outside as well, unless that is hidden first (`hide_outside`).
        data_range: the distance between the lowest and the highest value of the scale. Where
            values leave the scale (hot lesions), it sets only how small is nothing.

    Returns:
        A scalar in [0, 2]; 0, with zero gradients, where no centre of a window is inside.

    Raises:
        ConfigurationError: E_PATCH_SIZE where the patch is shorter than the window.
    """
    shortest = min(prediction.shape[2:])
    if shortest < SSIM_WINDOW:
        message = (
            f"the SSIM loss looks at {SSIM_WINDOW} voxels, the patch has {shortest} along an axis"
        )
        advice = f"use patches of at least {SSIM_WINDOW} voxels, or set lambda_ssim to 0"
        raise ConfigurationError(Problem("E_PATCH_SIZE", message, advice))
    with without_autocast(prediction):
        dissimilarity = _dissimilarity(
            at_least_float32(prediction), at_least_float32(target), data_range
        )
    if mask is not None:
        centres = slice(SSIM_WINDOW // 2, -(SSIM_WINDOW // 2))
        mask = mask[..., centres, centres, centres]
    return masked_mean(dissimilarity, mask)


def _dissimilarity(prediction: Tensor, target: Tensor, data_range: float) -> Tensor:
    """Return the map of one minus the similarity, one per whole window.

    The similarity is (1 - a)(1 - b), where a = (m - n)^2 / (m^2 + n^2 + C1) for the means m and n,
    and b = Var(x - y) / (Var x + Var y + C2): the usual quotients, rearranged. Only the sum of the
    two variances is needed, so that four filterings do, not five; and what is nearly equal is
    compared by its difference, where subtracting two large moments would leave their rounding.
    """
    first, second = (LUMINANCE * data_range) ** 2, (CONTRAST * data_range) ** 2
    windows = [_windows(prediction.shape[axis], like=prediction) for axis in AXES]
    mean, mean_of_target = _blur(prediction, windows), _blur(target, windows)
    power = _blur(prediction.square() + target.square(), windows)
    powers = mean.square() + mean_of_target.square()
    apart = (mean - mean_of_target).square()
    variance_apart = _blur((prediction - target).square(), windows) - apart
    # Moments of values far beyond the scale may round to what no variances can be.
    variances = (power - powers).clamp(min=0.0)
    structure = (variance_apart / (variances + second)).clamp(0.0, 2.0)
    luminance = apart / (powers + first)
    return luminance + structure - luminance * structure


def _windows(length: int, *, like: Tensor) -> Tensor:
    """Return the matrix (length - 10, length) whose rows are the windows along an axis."""
    steps = torch.arange(length, device=like.device, dtype=like.dtype)
    distance = steps - steps[: length - SSIM_WINDOW + 1, None] - SSIM_WINDOW // 2
    weights = torch.exp(-0.5 * (distance / SIGMA).square())
    weights = torch.where(distance.abs() <= SSIM_WINDOW // 2, weights, 0.0)
    return weights / weights.sum(1, keepdim=True)


def _blur(image: Tensor, windows: list[Tensor]) -> Tensor:
    """Filter along each axis, by products with banded matrices: no graph of shifted copies."""
    rows, columns, depths = windows
    image = columns @ (image @ depths.T)
    return (rows @ image.flatten(3)).reshape(*image.shape[:2], len(rows), *image.shape[3:])
