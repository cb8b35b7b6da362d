"""Players and their optimizers: the one move that the loop lends to a method."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from medgen.method import Method, OptimizerSpec
from medgen.training.distributed import ALONE, Ranks
from medgen.training.sharing import average_gradients

ADAMS: Mapping[str, type[torch.optim.Adam]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
RMSPROP_DECAY = 0.9
"""Of the mean square: of Tieleman and Hinton's lecture, and of the framework that papers used."""


class Players:
    """Every player's parameters and optimizer; calling it lowers one loss by moving one player.

    `backward(inputs=...)` writes gradients to that player alone, so nobody else needs freezing.
    Where several processes train, all of them move down the mean of their gradients.
    """

    def __init__(
        self,
        method: Method,
        specs: Mapping[str, OptimizerSpec],
        *,
        gradient_clip: float,
        ranks: Ranks = ALONE,
    ) -> None:
        self._ranks = ranks
        self.parameters: dict[str, list[nn.Parameter]] = {
            name: list(module.parameters()) for name, module in method.players().items()
        }
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: _optimizer(specs[name], parameters)
            for name, parameters in self.parameters.items()
        }
        self._device_type = next(method.parameters()).device.type
        self._learning_rates = {name: specs[name].learning_rate for name in self.parameters}
        self._gradient_clip = gradient_clip
        self.moving: frozenset[str] = frozenset(self.parameters)

    def __call__(self, player: str, loss: Tensor) -> None:
        """Step the optimizer of `player` down the gradient of `loss`.

        Raises:
            ValueError: the player is frozen in this stage.
        """
        if player not in self.moving:
            raise ValueError(f"player {player!r} does not move in this stage")
        parameters = self.parameters[player]
        optimizer = self.optimizers[player]
        optimizer.zero_grad(set_to_none=True)
        # The forward pass ran under autocast; backward and the step must not.
        with torch.autocast(self._device_type, enabled=False):
            torch.autograd.backward(loss, inputs=parameters)
            average_gradients(self._ranks, parameters)
            if self._gradient_clip > 0:
                nn.utils.clip_grad_norm_(parameters, self._gradient_clip)
            optimizer.step()

    def scale_learning_rates(self, factor: float) -> None:
        """Set every player's learning rate to `factor` times its specified one."""
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self._learning_rates[name] * factor

    def state(self) -> dict[str, Tensor]:
        """Return the optimizers' tensors by name, on the CPU."""
        return {
            f"{player}.{index}.{key}": torch.as_tensor(value).detach().to("cpu", copy=True)
            for player, optimizer in self.optimizers.items()
            for index, entries in optimizer.state_dict()["state"].items()
            for key, value in entries.items()
        }

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned."""
        for player, optimizer in self.optimizers.items():
            entries: dict[int, dict[str, Tensor]] = {}
            for name, tensor in tensors.items():
                owner, index, key = name.split(".", 2)
                if owner == player:
                    entries.setdefault(int(index), {})[key] = tensor
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": entries, "param_groups": groups})


def _optimizer(spec: OptimizerSpec, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    if spec.name == "rmsprop":
        return torch.optim.RMSprop(
            parameters,
            lr=spec.learning_rate,
            alpha=RMSPROP_DECAY,
            weight_decay=spec.weight_decay,
        )
    kind = ADAMS[spec.name]
    return kind(
        parameters,
        lr=spec.learning_rate,
        betas=spec.betas,
        weight_decay=spec.weight_decay,
        fused=True,
    )
