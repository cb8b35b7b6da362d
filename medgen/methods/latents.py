"""Latent vectors: drawn so that each is a function of its seed and number, and walks between."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

LEAST_SINE = 1e-6
"""Below this sine of the angle two latents have no great circle, or too many: a line serves."""


def draw_latents(seed: int, numbers: Sequence[int], length: int) -> Tensor:
    """Return latents (B, length) of N(0, I), float32 on the CPU.

    The latent of a number is the same however many are drawn; no global generator is touched.
    """
    drawn = [np.random.default_rng([seed, number]).standard_normal(length) for number in numbers]
    return torch.from_numpy(np.asarray(drawn, dtype=np.float32))


def spherical_walk(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Return latents (steps, L) from one latent (L,) to another, both included.

    Spherical interpolation (White, Sampling Generative Networks, arXiv 1609.04468): halfway between
    two draws of N(0, I) a straight line is shorter than nearly every draw, so that a generator
    would be shown what it has never met.
    """
    ends = start.double(), end.double()
    norms = [one.norm().clamp_min(1e-12) for one in ends]
    cosine = (ends[0] / norms[0] @ (ends[1] / norms[1])).clamp(-1.0, 1.0)
    angle, shares = torch.acos(cosine), torch.linspace(0.0, 1.0, steps, dtype=torch.float64)
    if torch.sin(angle) < LEAST_SINE:
        first, second = 1.0 - shares, shares
    else:
        first = torch.sin((1.0 - shares) * angle) / torch.sin(angle)
        second = torch.sin(shares * angle) / torch.sin(angle)
    walk = first[:, None] * ends[0].cpu() + second[:, None] * ends[1].cpu()
    return walk.to(start.device, torch.float32)
