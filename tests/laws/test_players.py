"""Laws 1 and 2: every parameter has one owner, and a move moves its player and nobody else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch


def snapshot(module: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_every_parameter_belongs_to_exactly_one_player(game: Any) -> None:
    owned = Counter(id(p) for player in game.method.players().values() for p in player.parameters())
    assert owned == Counter(id(p) for p in game.method.parameters())
    assert set(owned.values()) == {1}


def test_players_optimizers_answers_and_stages_fit_together(game: Any) -> None:
    method = game.method
    players = method.players()
    assert set(method.optimizers()) == set(players)
    assert method.answering
    assert method.answering <= set(players)
    assert method.answers
    assert all(stage.players <= set(players) for stage in method.stages)
    assert not method.stages or abs(sum(s.fraction for s in method.stages) - 1) < 1e-9
    roles = {"source", "source_at_large", "target", "label", "mask"}
    roles |= {"source_body", "target_body"}
    assert all(group and group <= roles for group in method.reads)


def test_players_are_the_same_modules_each_time(game: Any) -> None:
    first, second = game.method.players(), game.method.players()
    assert list(first) == list(second)
    assert all(first[name] is second[name] for name in first)


def test_a_move_moves_its_player_and_nobody_else(game: Any) -> None:
    players = game.method.players()
    before = {name: snapshot(player) for name, player in players.items()}

    def check(mover: str) -> None:
        for name, player in players.items():
            now = snapshot(player)
            assert same(now, before[name]) == (name != mover), f"{mover} moved; look at {name}"
            before[name] = now

    game.watch = check
    for clock in game.clocks():
        game.play(game.batch(), clock=clock)


def test_over_all_stages_every_player_moves(game: Any) -> None:
    for clock in game.clocks():
        game.play(game.batch(), clock=clock)
    assert set(game.moves) == set(game.method.players())


def test_every_parameter_moves_in_the_end(game: Any) -> None:
    """A layer that nothing depends on is a mistake in the wiring."""
    before = {name: p.detach().clone() for name, p in game.method.named_parameters()}
    for clock in game.clocks():
        game.play(game.batch(seed=clock.step), clock=clock)
    still = [n for n, p in game.method.named_parameters() if torch.equal(p, before[n])]
    assert not still


def test_losses_are_named_scalars(game: Any) -> None:
    for clock in game.clocks():
        losses = game.play(game.batch(), clock=clock)
        assert losses
        assert all(loss.shape == () and loss.isfinite() for loss in losses.values())


def test_a_step_is_a_function_of_weights_batch_and_clock(make_game: Any) -> None:
    """No local counters and nothing kept from the last batch: an earlier look changes nothing."""
    one, other = make_game(), make_game()
    attributes = {name: set(vars(m)) for name, m in one.method.named_modules()}
    state = {name: tensor.clone() for name, tensor in one.method.state_dict().items()}
    one.play(one.batch(seed=5))
    assert {name: set(vars(m)) for name, m in one.method.named_modules()} == attributes
    one.method.load_state_dict(state)

    torch.manual_seed(1)
    first = one.play(one.batch())
    torch.manual_seed(1)
    second = other.play(other.batch())
    assert first.keys() == second.keys()
    # The later losses of a step depend on how far its first moves went, and Adam's momenta are
    # the loop's, not the method's: only what precedes every move must agree to the bit.
    key = next(iter(first))
    assert torch.equal(first[key], second[key])
