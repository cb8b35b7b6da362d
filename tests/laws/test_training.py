"""Laws 5 and 6: it trains under bf16, and it overfits one tiny case.

Law 4, resuming equals never stopping, is a law of the training loop: tests/training/test_resume.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch


def test_it_trains_under_bf16_with_finite_losses(game: Any) -> None:
    for seed, clock in enumerate(game.clocks()):
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
    assert end, "no answer was measured"
    for name, answer in ((name, method.answers[name]) for name in end):
        known = {"image": 0.25 * start[name], "labels": 0.1, "anomaly": plain(batch)}
        assert answer.kind in known, f"law 6 needs a measure for {answer.kind}: add it here"
        assert end[name] < known[answer.kind], f"{name}: {start[name]:.3f} -> {end[name]:.3f}"


def errors(method: Any, batch: dict[str, torch.Tensor]) -> dict[str, float]:
    """Return each image's mean absolute error, and of each label map 1 - the least Dice.

    An unpaired image is carried back and compared with where it came from; of an anomaly it is the
    mean absolute residual.
    """
    margin = method.margin
    method.eval()
    found = {}
    with torch.no_grad():
        for name, answer in method.answers.items():
            if answer.kind == "labels" and not method.pairs(answer):
                continue  # of the domain without labels no truth is known, and labels lead nowhere
            answered, truth = method.infer(batch[answer.source], name), batch[answer.target]
            if answer.kind == "anomaly":
                found[name] = float(answered[:, :-1].abs().mean())
                continue
            if not method.pairs(answer):  # no truth is known, but the way back is
                if answered.shape[1] < batch[answer.source].shape[1]:
                    continue  # of two images in one, both cannot come back
                back, truth = opposite(method, answer), batch[answer.source]
                answered = method.infer(answered, back)
            x, y, z = (slice(margin, n - margin) for n in truth.shape[2:])
            truth = truth[..., x, y, z]
            if answer.kind == "labels":
                found[name] = 1 - least_dice(answered.argmax(dim=1), truth[:, 0])
            else:
                found[name] = float((answered - truth).abs().mean())
    method.train()
    return found


def plain(batch: dict[str, torch.Tensor]) -> float:
    """Return what the voxels' mean in the place of a reconstruction would leave."""
    first = batch["source"][:, :1]
    return float((first - first.mean()).abs().mean())


def opposite(method: Any, answer: Any) -> str:
    """Return the name of the answer that goes the other way."""
    return next(
        name
        for name, other in method.answers.items()
        if (other.source, other.target) == (answer.target, answer.source)
    )


def least_dice(answer: torch.Tensor, truth: torch.Tensor) -> float:
    """Return the Dice of the class that comes out worst, the background left out."""
    dice = []
    for index in range(1, int(truth.max()) + 1):
        one, other = answer == index, truth == index
        dice.append(float(2 * (one & other).sum() / (one.sum() + other.sum())))
    return min(dice)
