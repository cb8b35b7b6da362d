"""The regression: one player, one loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from medgen.method import Clock, Setting
from medgen.methods import METHODS, ConditionalGAN, Regression
from medgen.networks import UNetOptions

CLOCK = Clock(0, "", 0.0, 0.0)
GENERATOR = UNetOptions(channels=(4, 8), features=4, residual_units=1)


def build(setting: Setting = Setting(1, 1, "tanh"), **options: Any) -> Regression:  # noqa: B008
    torch.manual_seed(0)
    return Regression(setting, generator=GENERATOR, **options)


@pytest.fixture
def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.rand((2, 1, 8, 8, 8), generator=generator) for _ in range(2))
    return {"source": source, "target": target, "mask": (source > 0.5).float()}


def test_its_one_move_lowers_the_masked_error(batch: dict[str, Tensor]) -> None:
    method = build()
    moves: list[tuple[str, float]] = []
    error = (method.generator(batch["source"]) - batch["target"]).abs()
    expected = error[batch["mask"] > 0].mean().item()
    losses = method.train_step(
        batch, lambda player, loss: moves.append((player, loss.item())), CLOCK
    )
    assert moves == [("generator", pytest.approx(expected, rel=1e-5))]
    assert losses["l1"].item() == pytest.approx(expected, rel=1e-5)


def test_without_added_terms_nothing_changed_not_even_a_bit(batch: dict[str, Tensor]) -> None:
    """The step as it was before terms could be added, written out."""
    ours, theirs = build(), build()
    losses = ours.train_step(batch, lambda player, loss: loss.backward(), CLOCK)
    assert list(losses) == ["l1"]
    difference = (theirs.generator(batch["source"]) - batch["target"]).abs()
    weight = batch["mask"].expand_as(difference)
    ((difference * weight).sum() / weight.sum().clamp(min=1.0)).backward()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        assert torch.equal(mine.grad, other.grad)


def test_without_the_mask_the_whole_patch_counts(batch: dict[str, Tensor]) -> None:
    method = build(mask_loss=False)
    assert method.reads == (frozenset({"source", "target"}),)
    error = (method.generator(batch["source"]) - batch["target"]).abs().mean()
    del batch["mask"]
    losses = method.train_step(batch, lambda player, loss: None, CLOCK)
    torch.testing.assert_close(losses["l1"], error)


def test_an_empty_mask_gives_a_loss_of_zero_that_can_be_lowered(batch: dict[str, Tensor]) -> None:
    method = build()
    batch["mask"].zero_()
    losses = method.train_step(batch, lambda player, loss: loss.backward(), CLOCK)
    assert losses["l1"].item() == 0
    assert all(p.grad is not None and (p.grad == 0).all() for p in method.parameters())


def test_it_has_the_generator_of_the_gan() -> None:
    """The baseline differs from the GAN by its game, not by its network."""
    setting = Setting(2, 1, "linear")
    gan, regression = (method(setting) for method in (ConditionalGAN, Regression))
    shapes = [
        {name: tuple(p.shape) for name, p in m.players()["generator"].named_parameters()}
        for m in (gan, regression)
    ]
    assert shapes[0] == shapes[1]


def test_adam_as_in_its_own_paper() -> None:
    spec = build().optimizers()["generator"]
    assert (spec.name, spec.betas) == ("adam", (0.9, 0.999))


def test_names_are_those_of_the_files() -> None:
    assert {name: method.__module__ for name, method in METHODS.items()} == {
        name: f"medgen.methods.{name}" for name in METHODS
    }
