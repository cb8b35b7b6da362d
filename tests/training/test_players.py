"""The one move: it moves one player down its loss, clipped, in fp32."""

from __future__ import annotations

from types import MappingProxyType

import pytest
import torch
from torch import nn

from medgen.method import Method, OptimizerSpec
from medgen.training.average import Average
from medgen.training.players import Players


class Pair(Method):
    """Two scalars."""

    answering = frozenset({"left"})
    reads = (frozenset({"source"}),)  # type: ignore[assignment]
    answers = MappingProxyType({})  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(1, 1, bias=False)
        self.right = nn.Linear(1, 1, bias=False)
        self.left.register_buffer("seen", torch.zeros(()))
        nn.init.constant_(self.left.weight, 2.0)
        nn.init.constant_(self.right.weight, 3.0)

    def players(self) -> dict[str, nn.Module]:
        return {"left": self.left, "right": self.right}

    def optimizers(self) -> dict[str, OptimizerSpec]:
        return {"left": OptimizerSpec(), "right": OptimizerSpec()}

    def train_step(self, batch, minimize, clock):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    def infer(self, source, answer="forward"):  # type: ignore[no-untyped-def]
        raise NotImplementedError


SPECS = {"left": OptimizerSpec(learning_rate=0.1), "right": OptimizerSpec("adamw", 0.2)}


def product(pair: Pair) -> torch.Tensor:
    return (pair.left.weight * pair.right.weight).sum()


def test_a_move_moves_its_player_alone_by_adams_first_step() -> None:
    pair = Pair()
    Players(pair, SPECS, gradient_clip=0.0)("left", product(pair))
    # Adam's first step has the length of the learning rate, whatever the gradient.
    assert pair.left.weight.item() == pytest.approx(2.0 - 0.1, abs=1e-5)
    assert pair.right.weight.item() == 3.0
    assert pair.right.weight.grad is None


def test_gradients_are_clipped_to_the_given_norm() -> None:
    pair = Pair()
    players = Players(pair, SPECS, gradient_clip=0.5)
    players("left", 100.0 * product(pair))
    assert pair.left.weight.grad is not None
    assert pair.left.weight.grad.norm().item() == pytest.approx(0.5, rel=1e-4)


def test_learning_rates_scale_together() -> None:
    players = Players(Pair(), SPECS, gradient_clip=1.0)
    players.scale_learning_rates(0.5)
    rates = {name: o.param_groups[0]["lr"] for name, o in players.optimizers.items()}
    assert rates == {"left": 0.05, "right": 0.1}


def test_a_resting_player_cannot_move() -> None:
    pair = Pair()
    players = Players(pair, SPECS, gradient_clip=1.0)
    players.moving = frozenset({"right"})
    with pytest.raises(ValueError, match="left"):
        players("left", product(pair))


def test_optimizer_state_comes_back() -> None:
    first, second = Pair(), Pair()
    moved, restored = (Players(p, SPECS, gradient_clip=1.0) for p in (first, second))
    for _ in range(3):
        moved("left", product(first) ** 2)
        moved("right", product(first))
    second.load_state_dict(first.state_dict())
    restored.load_state(moved.state())
    for players, pair in ((moved, first), (restored, second)):
        players("left", product(pair) ** 2)
        players("right", product(pair))
    assert torch.equal(first.left.weight, second.left.weight)
    assert torch.equal(first.right.weight, second.right.weight)


def test_the_average_follows_answering_players_and_their_statistics() -> None:
    pair = Pair()
    average = Average(pair, 0.9)
    with torch.no_grad():
        pair.left.weight.fill_(4.0)
        pair.right.weight.fill_(9.0)
        pair.left.seen.fill_(5.0)  # type: ignore[union-attr]
    average.update(pair, 1000, frozenset({"left", "right"}))
    averaged = average.method
    assert averaged.left.weight.item() == pytest.approx(0.9 * 2 + 0.1 * 4)  # type: ignore[union-attr,operator]
    assert averaged.right.weight.item() == 3.0  # type: ignore[union-attr,operator]
    assert averaged.left.seen.item() == pytest.approx(0.1 * 5)  # type: ignore[union-attr,operator]


def test_early_steps_average_quickly() -> None:
    pair = Pair()
    average = Average(pair, 0.999)
    with torch.no_grad():
        pair.left.weight.fill_(4.0)
    average.update(pair, 0, frozenset({"left"}))
    assert average.method.left.weight.item() == pytest.approx(0.1 * 2 + 0.9 * 4)  # type: ignore[union-attr,operator]


def test_resting_players_take_their_average() -> None:
    pair = Pair()
    average = Average(pair, 0.5)
    with torch.no_grad():
        pair.left.weight.fill_(4.0)
        pair.right.weight.fill_(4.0)
    average.freeze_into(pair, frozenset({"left", "right"}))
    assert pair.left.weight.item() == 2.0
    assert pair.right.weight.item() == 4.0


def test_rmsprop_has_its_own_first_step_and_comes_back_from_a_state() -> None:
    """Without momentum: the gradient over the root of a tenth of its square."""
    specs = {"left": OptimizerSpec("rmsprop", 0.1), "right": OptimizerSpec()}
    pair, other = Pair(), Pair()
    players, resumed = (Players(each, specs, gradient_clip=0.0) for each in (pair, other))
    players("left", product(pair))
    assert pair.left.weight.item() == pytest.approx(2.0 - 0.1 / 0.1**0.5, abs=1e-5)
    resumed.load_state(players.state())
    other.load_state_dict(pair.state_dict())
    for each, mine in ((players, pair), (resumed, other)):
        each("left", product(mine))
    assert torch.equal(pair.left.weight, other.left.weight)
