"""Laws 5 and 6: it trains under bf16, and it overfits one tiny case.

Law 4, resuming equals never stopping, is a law of the training loop: tests/training/test_resume.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch


def test_it_trains_under_bf16_with_finite_losses(game: Any) -> None:
    for seed in range(3):
        for clock in game.clocks():
            losses = game.play(game.batch(seed), bf16=True, clock=clock)
            assert all(loss.isfinite() for loss in losses.values()), losses
    for name, parameter in game.method.named_parameters():
        assert parameter.dtype == torch.float32, name
        assert parameter.isfinite().all(), name


def test_bf16_takes_nearly_the_same_step(make_game: Any) -> None:
    """A stale cast or a loss in bf16 would show here, before it shows in a long training."""
    exact, quick = make_game(), make_game()
    for _ in range(2):
        torch.manual_seed(1)
        expected = exact.play(exact.batch())
        torch.manual_seed(1)
        losses = quick.play(quick.batch(), bf16=True)
    for key, loss in losses.items():
        torch.testing.assert_close(loss, expected[key], rtol=0.05, atol=0.02)


@pytest.mark.slow
def test_it_overfits_one_tiny_case(make_game: Any) -> None:
    game = make_game(speed=10.0)
    method, batch = game.method, game.batch(size=1)
    start = errors(method, batch)
    clocks = game.clocks()
    for step in range(300):
        game.play(batch, clock=clocks[min(step * len(clocks) // 300, len(clocks) - 1)])
    end = errors(method, batch)
    for name, answer in method.answers.items():
        assert answer.kind == "image", f"law 6 needs a measure for {answer.kind}: add it here"
        assert end[name] < 0.25 * start[name], f"{name}: {start[name]:.3f} -> {end[name]:.3f}"


def errors(method: Any, batch: dict[str, torch.Tensor]) -> dict[str, float]:
    """Return the mean absolute error of every image that the method answers with."""
    margin = method.margin
    method.eval()
    found = {}
    with torch.no_grad():
        for name, answer in method.answers.items():
            truth = batch[answer.target]
            x, y, z = (slice(margin, n - margin) for n in truth.shape[2:])
            image = method.infer(batch[answer.source], name)
            found[name] = float((image - truth[..., x, y, z]).abs().mean())
    method.train()
    return found
