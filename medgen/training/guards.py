"""Guards that stop a training which would only waste the machine, and say why."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from medgen.method import Method
from medgen.problems import GuardStop, Problem

COLLAPSE_FRACTION = 0.02
"""An answer whose spread is below this share of the truth's carries no anatomy."""

COLLAPSE_PATIENCE = 3
"""Validations in a row that must look collapsed."""


def check_losses(losses: Mapping[str, float], step: int) -> None:
    """Stop on a loss that is not a number.

    Raises:
        GuardStop: naming the loss, the step and the usual remedies.
    """
    broken = [name for name, value in losses.items() if not math.isfinite(value)]
    if broken:
        raise GuardStop(
            Problem(
                "E_LOSS_NOT_FINITE",
                f"the loss {', '.join(broken)} is not finite at step {step}",
                "lower the learning rates, set train.precision to fp32, or lower "
                "train.gradient_clip; the last saved state is intact",
            )
        )


def check_parameters(method: Method, step: int) -> None:
    """Stop before a parameter that is not a number reaches the saved state.

    Raises:
        GuardStop: naming the player and the step.
    """
    for name, player in method.players().items():
        if not all(bool(torch.isfinite(p).all()) for p in player.parameters()):
            raise GuardStop(
                Problem(
                    "E_WEIGHTS_NOT_FINITE",
                    f"the weights of {name} are not finite after step {step}",
                    "lower the learning rates or train.gradient_clip; the last saved state is "
                    "intact",
                )
            )


def relative_spread(answer: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Return the standard deviation of the answer over that of the truth, same voxels of both."""
    return float(np.std(answer) / max(float(np.std(truth)), 1e-12))


class CollapseGuard:
    """Stop when the answers stay constant, whatever goes in."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def check(self, spread: float, step: int) -> None:
        """Take one validation's mean relative spread into account.

        Raises:
            GuardStop: after three validations in a row without anatomy.
        """
        self.count = self.count + 1 if spread < COLLAPSE_FRACTION else 0
        if self.count >= COLLAPSE_PATIENCE:
            raise GuardStop(
                Problem(
                    "E_COLLAPSE",
                    f"the answers are nearly constant (spread {spread:.1%} of the truth's) in "
                    f"{self.count} validations up to step {step}",
                    "check the intensity scales, the labels and the previews, or lower the "
                    "learning rates",
                )
            )
