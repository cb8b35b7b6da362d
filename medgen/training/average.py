"""The exponential moving average of the answering players: what is validated and exported."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from medgen.method import Method


class Average:
    """A copy of the method whose answering players follow the trained ones slowly.

    Early on the decay is (1 + n) / (10 + n), so that the random start is soon forgotten.
    """

    def __init__(self, method: Method, decay: float) -> None:
        self.method = copy.deepcopy(method).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, method: Method, step: int, moving: frozenset[str]) -> None:
        """Move the average of the moving answering players towards `method`.

        `step` counts from the start of the stage in which they move.
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        averaged = self.method.players()
        for name, player in method.players().items():
            if name in method.answering & moving:
                slow: list[Tensor] = list(averaged[name].parameters())
                fast: list[Tensor] = list(player.parameters())
                torch._foreach_lerp_(slow, fast, 1.0 - decay)
                for buffer, source in zip(averaged[name].buffers(), player.buffers(), strict=True):
                    if buffer.is_floating_point():  # a norm's statistics belong to the weights
                        buffer.lerp_(source, 1.0 - decay)
                    else:
                        buffer.copy_(source)

    @torch.no_grad()
    def lend(self, method: Method) -> None:
        """Give the averaged method the other players as they are now, for a diagnosis."""
        averaged = self.method.players()
        for name, player in method.players().items():
            if name not in method.answering:
                averaged[name].load_state_dict(player.state_dict())

    @torch.no_grad()
    def freeze_into(self, method: Method, players: frozenset[str]) -> None:
        """Give resting answering players their averaged weights."""
        averaged = self.method.players()
        for name, player in method.players().items():
            if name in method.answering & players:
                player.load_state_dict(averaged[name].state_dict())
