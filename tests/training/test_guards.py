"""Guards stop with an explanation, and only when they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from medgen.problems import Exit, GuardStop
from medgen.training.guards import (
    CollapseGuard,
    check_losses,
    check_parameters,
    relative_spread,
)


def test_finite_losses_pass() -> None:
    check_losses({"generator": 1.0, "discriminator": 0.0}, 3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_stops_and_names_itself(value: float) -> None:
    with pytest.raises(GuardStop, match="generator is not finite at step 7") as caught:
        check_losses({"generator": value, "l1": 1.0}, 7)
    assert caught.value.exit_code is Exit.GUARD


def test_weights_that_are_no_numbers_stop() -> None:
    class Fake:
        def players(self) -> dict[str, nn.Module]:
            return {"generator": layer}

    layer = nn.Linear(2, 2)
    check_parameters(Fake(), 1)  # type: ignore[arg-type]
    with torch.no_grad():
        layer.weight[0, 0] = float("nan")
    with pytest.raises(GuardStop, match="weights of generator"):
        check_parameters(Fake(), 2)  # type: ignore[arg-type]


def test_constant_answers_stop_after_three_validations_in_a_row() -> None:
    guard = CollapseGuard()
    guard.check(0.001, 1)
    guard.check(0.5, 2)
    guard.check(0.001, 3)
    guard.check(0.0, 4)
    with pytest.raises(GuardStop, match="nearly constant"):
        guard.check(0.001, 5)


def test_spread_is_relative_to_the_truth() -> None:
    truth = np.array([0.0, 2.0, 4.0], np.float32)
    assert relative_spread(truth / 2, truth) == pytest.approx(0.5)
    assert relative_spread(np.ones(3, np.float32), truth) == 0.0
