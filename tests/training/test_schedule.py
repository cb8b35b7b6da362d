"""The clock and the learning rate."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.method import Stage
from medgen.problems import ConfigurationError
from medgen.training.schedule import clock_at, learning_rate_factor, stage_bounds


def test_learning_rate_is_constant_then_linear_to_zero() -> None:
    factors = [learning_rate_factor(p, 0.5) for p in (0.0, 0.5, 0.75, 1.0)]
    assert factors == pytest.approx([1.0, 1.0, 0.5, 0.0])


def test_no_decay_when_it_would_begin_at_the_end() -> None:
    assert learning_rate_factor(1.0, 1.0) == 1.0


@pytest.mark.parametrize(("steps", "first"), [(2, 1), (3, 2), (10, 8)])
def test_every_stage_has_a_step(steps: int, first: int) -> None:
    stages = (Stage("gan", frozenset({"one"}), 0.8), Stage("encoder", frozenset({"other"}), 0.2))
    assert [bounds[1:] for bounds in stage_bounds(stages, steps)] == [(0, first), (first, steps)]


def test_fewer_steps_than_stages_are_refused() -> None:
    stages = (Stage("gan", frozenset({"one"}), 0.8), Stage("encoder", frozenset({"other"}), 0.2))
    with pytest.raises(ConfigurationError, match=r"E_STEPS.* is 1, and .* 2 stages: gan, encoder"):
        stage_bounds(stages, 1)


@given(
    fractions=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=4),
    steps=st.integers(10, 500),
)
def test_stages_cover_every_step_once(fractions: list[float], steps: int) -> None:
    stages = tuple(Stage(str(i), frozenset({"player"}), f) for i, f in enumerate(fractions))
    bounds = stage_bounds(stages, steps)
    assert bounds[0][1] == 0
    assert bounds[-1][2] == steps
    for (_, _, stop), (_, start, _) in itertools.pairwise(bounds):
        assert stop == start
    for step in range(steps):
        clock, stage = clock_at(bounds, step, steps)
        assert clock.step == step
        assert clock.stage == stage.name
        assert 0.0 <= clock.progress < 1.0
        assert clock.run_progress == step / steps


def test_progress_restarts_with_each_stage() -> None:
    both = frozenset({"generator", "encoder"})
    bounds = stage_bounds((Stage("first", both, 0.5), Stage("second", both, 0.5)), 10)
    assert [clock_at(bounds, s, 10)[0].progress for s in (0, 4, 5, 9)] == [0.0, 0.8, 0.0, 0.8]
