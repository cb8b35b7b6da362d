"""What every loss computes in: float32, whatever the networks compute in."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Return values as float32; float64 stays, for checks of gradients."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def without_autocast(values: Tensor) -> AbstractContextManager[object]:
    """Return a context in which matrix products of `values` are not rounded to bfloat16.

    A training step runs under autocast, which casts the operands of products even where they are
    float32; sums and products voxel by voxel are left alone and need no such care.
    """
    return torch.autocast(values.device.type, enabled=False)
