"""Random pairs, and the plainest descent, so that a step can be repeated by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor


class Descent:
    """Gradient descent without momentum that keeps what it was asked to lower."""

    def __init__(self, method: Any, rate: float = 0.05) -> None:
        self.players = method.players()
        self.rate = rate
        self.log: list[tuple[str, float]] = []
        self.gradients: dict[str, list[Tensor]] = {}

    def __call__(self, player: str, loss: Tensor) -> None:
        parameters = list(self.players[player].parameters())
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(self.rate * gradient)
        self.log.append((player, loss.item()))
        self.gradients[player] = list(gradients)


def random_pair(seed: int = 0, voxels: int = 16, margin: int = 0) -> dict[str, Tensor]:
    """Return two noisy pairs and a mask of about half of the voxels."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 1, *(voxels + 2 * margin,) * 3)
    source, target = (torch.rand(shape, generator=generator) * 2 - 1 for _ in range(2))
    mask = (torch.rand(shape, generator=generator) < 0.5).float()
    return {"source": source, "target": target, "mask": mask}


@pytest.fixture
def descent() -> type[Descent]:
    """Return the class of descents."""
    return Descent


@pytest.fixture
def make_pair() -> Callable[..., dict[str, Tensor]]:
    """Return the factory of random pairs."""
    return random_pair
