"""Weighted terms: those of no weight are not even computed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from medgen.methods.terms import Term, weigh


def one(value: float) -> Tensor:
    return torch.tensor(value)


def never() -> Tensor:
    raise AssertionError("a term of weight zero was computed")


def test_the_sum_is_weighted_and_the_log_is_not() -> None:
    total, losses = weigh(
        {"a": Term(2.0, lambda: one(3.0)), "b": Term(10.0, lambda: one(0.5), ramp=0.25)}
    )
    assert total.item() == 2 * 3 + 10 * 0.25 * 0.5
    assert {name: loss.item() for name, loss in losses.items()} == {"a": 3.0, "b": 0.5}


def test_a_term_of_weight_zero_costs_nothing() -> None:
    total, losses = weigh({"a": Term(1.0, lambda: one(3.0)), "b": Term(0.0, never)})
    assert total.item() == 3.0
    assert list(losses) == ["a"]


def test_a_ramp_at_zero_keeps_its_term_in_the_log() -> None:
    """The columns of a log are those of its first row."""
    total, losses = weigh(
        {"a": Term(1.0, lambda: one(3.0)), "b": Term(5.0, lambda: one(2.0), ramp=0.0)}
    )
    assert total.item() == 3.0
    assert list(losses) == ["a", "b"]


def test_nothing_to_lower_is_said() -> None:
    with pytest.raises(ValueError, match="every weight is zero: a, b"):
        weigh({"a": Term(0.0, never), "b": Term(0.0, never)})
