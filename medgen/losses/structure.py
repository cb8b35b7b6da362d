"""Structure across contrasts: is the answer's anatomy where the source's is, whatever its grey?

Both losses compare images of different scanners, so neither may ask for equal values or for equal
signs: an image and its negative have the same structure, and **neither loss can see inversion**.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from medgen.losses.masking import masked_mean
from medgen.losses.precision import at_least_float32
from medgen.problems import ConfigurationError, Problem

AXES = (2, 3, 4)

STRUCTURE_WINDOW = 3
"""The shortest patch in voxels, that of a central difference."""

FAINT = 0.01
"""What is nothing: a two-hundredth of the encoded scale, about what bfloat16 rounds near its ends.

A slope per voxel of the normalised gradients, a standard deviation of the mutual information.
"""

REACH = 3.0
"""Standard deviations around a block's mean that the histogram spreads over its bins."""

FLAT = 1e-3
"""The entropy, in nats, below which a source has no structure."""


def normalised_gradient_loss(source: Tensor, answer: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return one minus how parallel the gradients of two images are, squared.

    Haber and Modersitzki, MICCAI 2006: the mean of 1 - <n(s), n(a)>^2, with the normalised gradient
    field n(i) = grad i / sqrt(|grad i|^2 + eta^2). Squared, on purpose: MR and CT have edges at the
    same places with opposite signs in some and equal ones in others.

    The edge parameter eta says which slopes are noise. As in the paper it is the mean of |grad i|,
    here of each sample by itself over the voxels that count, and so part of the derivative: the
    answer's contrast can neither lower nor raise the loss. To it are added 0.01 (`FAINT`), so that
    the rounding of a flat image is no edge. Gradients are central differences per voxel.

    Args:
        source: (B, C, X, Y, Z), encoded, at least 3 voxels along each axis; of several channels
            the first is compared.
        answer: the same; the channels may be others in number, and again the first is compared.
        mask: (B, 1, X, Y, Z), 0 or 1; a voxel counts where it and its six neighbours are inside.

    Returns:
        A scalar in [0, 1]. Where both are flat it is 1, so an image and itself have the share of
        what is flat in them, not 0; 0, with zero gradients, where nothing counts.

    Raises:
        ConfigurationError: E_PATCH_SIZE where the patch is shorter than a central difference.
    """
    source, answer = _first_channels(source, answer)
    if mask is not None:
        mask = _surrounded(mask.to(source.dtype))
    left, right = _normalised_gradients(source, mask), _normalised_gradients(answer, mask)
    parallel = (left * right).sum(1, keepdim=True)
    return masked_mean(1.0 - parallel.square(), mask)


def mutual_information_loss(
    source: Tensor, answer: Tensor, mask: Tensor | None = None, *, block: int = 24, bins: int = 16
) -> Tensor:
    """Return how much of the source's local grey the answer leaves open: 1 - I(s; a) / H(s).

    The mutual information I of two images (Wells et al., Med. Image Anal. 1, 1996; Viola and Wells,
    IJCV 24, 1997) by the joint histogram of Mattes et al., IEEE TMI 22, 2003: voxels of the source
    fall into one bin, those of the answer into four by a cubic B-spline, which makes it
    differentiable. *Local*: each block has a histogram of its own, of its mean +- 3 standard
    deviations in either image, since what grey means changes along a head (bias fields). Blocks add
    up by their voxels, information and entropy (H, of the source's histogram) each by itself, so
    that a block in which the source is flat says nothing.

    The histogram's scale is part of the derivative: the answer's contrast and level change nothing.
    Standard deviations are raised by 0.01 (`FAINT`), so that the rounding of a flat image is no
    information. Gradients reach the answer only: the source is what is given.

    Args:
        source: (B, C, X, Y, Z), encoded; of several channels the first is compared.
        answer: the same; the channels may be others in number, and again the first is compared.
        mask: (B, 1, X, Y, Z), 0 or 1; weights between them count in proportion.
        block: the length of a block in voxels; the patch is cut into as many nearly equal ones as
            come closest to it.
        bins: of either image, at least 4. Few for small blocks: (bins - 1)^2 / 2V nats in a block
            of V voxels are owed to chance.

    Returns:
        A scalar in [0, 1]: 1 where the answer is independent of the source. An image and itself
        have some 0.4, as a spline spreads it over four bins. 0, with zero gradients, where the mask
        is empty or the source flat.

    Raises:
        ConfigurationError: E_PATCH_SIZE where the patch is shorter than 3 voxels.
    """
    source, answer = _first_channels(source, answer)
    weight = torch.ones_like(source) if mask is None else mask.to(source.dtype)
    source, answer, weight = (_blocks(image, block) for image in (source.detach(), answer, weight))
    joint = _joint_histogram(source, answer, weight, bins)
    voxels = weight.sum(1)
    entropy = _entropy(joint.sum(2))
    remaining = _entropy(joint.flatten(1)) - _entropy(joint.sum(1))
    # Rounding of two entropies may leave less than nothing, or more than there was.
    remaining = (torch.minimum(remaining.clamp(min=0.0), entropy) * voxels).sum()
    # Less than this is the rounding of a flat source's entropy.
    return remaining / torch.maximum((entropy * voxels).sum(), FLAT * voxels.sum().clamp(min=1.0))


def _first_channels(source: Tensor, answer: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first channels of images (B, C, X, Y, Z) in float32, if they are long enough."""
    shortest = min(source.shape[2:])
    if shortest < STRUCTURE_WINDOW:
        message = (
            f"the structure loss looks at {STRUCTURE_WINDOW} voxels, the patch has {shortest} "
            "along an axis"
        )
        advice = f"use patches of at least {STRUCTURE_WINDOW} voxels, or set lambda_structure to 0"
        raise ConfigurationError(Problem("E_PATCH_SIZE", message, advice))
    return at_least_float32(source[:, :1]), at_least_float32(answer[:, :1])


def _inner(image: Tensor, shift: int = 0, along: int = 0) -> Tensor:
    """Return an image less its outermost voxels, read `shift` voxels further along an axis."""
    for axis in AXES:
        start = 1 + (shift if axis == along else 0)
        image = image.narrow(axis, start, image.shape[axis] - 2)
    return image


def _surrounded(mask: Tensor) -> Tensor:
    """Return the inner voxels of a mask whose six neighbours are inside as well."""
    inside = _inner(mask)
    for axis in AXES:
        inside = inside * _inner(mask, 1, axis) * _inner(mask, -1, axis)
    return inside


def _normalised_gradients(image: Tensor, mask: Tensor | None) -> Tensor:
    """Return the field (B, 3, X - 2, Y - 2, Z - 2), shorter than one wherever it is."""
    gradients = torch.cat(
        [0.5 * (_inner(image, 1, axis) - _inner(image, -1, axis)) for axis in AXES], 1
    )
    squares = gradients.square().sum(1, keepdim=True)
    weight = torch.ones_like(squares) if mask is None else mask
    slopes = (_root(squares) * weight).sum(AXES, keepdim=True)
    eta = slopes / weight.sum(AXES, keepdim=True).clamp(min=1.0) + FAINT
    field: Tensor = gradients * torch.rsqrt(squares + eta.square())
    return field


def _root(squared: Tensor) -> Tensor:
    """Return the square root, with a gradient of zero at zero instead of an infinite one."""
    flat = squared == 0
    return torch.where(flat, 0.0, torch.where(flat, 1.0, squared).sqrt())


def _blocks(image: Tensor, block: int) -> Tensor:
    """Cut images (B, 1, X, Y, Z) into nearly equal blocks (N, V), filled up with zeros."""
    shape = image.shape[2:]
    counts = [max(1, round(length / block)) for length in shape]
    sizes = [math.ceil(length / count) for length, count in zip(shape, counts, strict=True)]
    lacking = [c * s - length for c, s, length in zip(counts, sizes, shape, strict=True)]
    padded = functional.pad(image, (0, lacking[2], 0, lacking[1], 0, lacking[0]))
    (i, j, k), (x, y, z) = counts, sizes
    cut = padded.reshape(len(image), i, x, j, y, k, z).permute(0, 1, 3, 5, 2, 4, 6)
    return cut.reshape(-1, x * y * z)


def _joint_histogram(source: Tensor, answer: Tensor, weight: Tensor, bins: int) -> Tensor:
    """Return the share (N, bins, bins) of each pair of greys in blocks (N, V), summing to one.

    A voxel adds to four cells only: a product of dense weights per bin takes eight times as long.
    """
    rows = _positions(source, weight, bins).round().long()
    place = _positions(answer, weight, bins)
    first = place.detach().floor().clamp(max=bins - 3).long()
    blocks = torch.arange(len(source), device=source.device)[:, None]
    cells = ((blocks * bins + rows) * bins + first - 1)[..., None]
    cells = cells + torch.arange(4, device=source.device)
    shares = _spline(place - first) * weight[..., None]
    empty = shares.new_zeros(len(source) * bins**2)
    joint = empty.index_add(0, cells.flatten(), shares.flatten()).reshape(-1, bins, bins)
    total = joint.sum((1, 2), keepdim=True)
    return joint / torch.where(total > 0, total, 1.0)


def _positions(blocks: Tensor, weight: Tensor, bins: int) -> Tensor:
    """Return where values (N, V) lie in their block's histogram: 1 to bins - 2, ends included."""
    voxels = weight.sum(1, keepdim=True).clamp(min=1.0)
    apart = blocks - (blocks * weight).sum(1, keepdim=True) / voxels
    deviation = _root((apart.square() * weight).sum(1, keepdim=True) / voxels) + FAINT
    share = 0.5 + 0.5 * (apart / (REACH * deviation)).clamp(-1.0, 1.0)
    return 1.0 + share * (bins - 3)


def _spline(offset: Tensor) -> Tensor:
    """Return the shares (N, V, 4) of the bins around a value, by its offset in [0, 1] (N, V).

    A cubic B-spline: the bins at -1, 0, 1 and 2 from the value's own; they sum to one.
    """
    square = offset * offset
    cube = square * offset
    last = cube / 6.0
    second = 2.0 / 3.0 - square + 0.5 * cube
    first = (1.0 - 3.0 * offset + 3.0 * square) / 6.0 - last
    return torch.stack([first, second, 1.0 - first - second - last, last], -1)


def _entropy(shares: Tensor) -> Tensor:
    """Return the entropy in nats of distributions (N, K), with finite gradients at zero."""
    return -(shares * shares.clamp(1e-12, 1.0).log()).sum(1)
