"""Which patch sizes a network takes; a wrong one is the configuration's fault and said so.

Two things set the shortest axis. An instance norm of a single voxel is no norm at all, and PyTorch
refuses it. And where a 3D convolution of stride one has an answer of just two voxels along the
first axis, its weight gradient in bf16 on a CPU holds whatever lay in memory, often NaN (measured:
torch 2.13, oneDNN, AVX512-BF16; all other lengths and every forward pass were sound). Networks
therefore state a `minimum_patch` that keeps all their layers clear of both in training, or compute
such layers as `small_maps` does.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from medgen.problems import ConfigurationError, Problem


def check_size(network: str, size: Sequence[int], *, minimum: int, divisor: int = 1) -> None:
    """Refuse a patch or window (X, Y, Z) that the network cannot take.

    Raises:
        ConfigurationError: E_PATCH_SIZE, with the size and what it must be.
    """
    if all(length >= minimum and length % divisor == 0 for length in size):
        return
    multiples = f" and a multiple of {divisor}" if divisor > 1 else ""
    raise ConfigurationError(
        Problem(
            "E_PATCH_SIZE",
            f"{network} cannot take {' x '.join(map(str, size))} voxels: each axis must be at "
            f"least {minimum}{multiples}",
            "change train.patch or convert.window, or give the network fewer levels",
        )
    )


def trim(image: Tensor, margin: int) -> Tensor:
    """Return an image (B, C, X, Y, Z) less `margin` voxels on every side: a view."""
    if margin == 0:
        return image
    inner = slice(margin, -margin)
    return image[:, :, inner, inner, inner]
