"""Where the run is, and what the learning rate is there."""

from __future__ import annotations

from medgen.method import Clock, Method, Stage
from medgen.problems import ConfigurationError, Problem


def stages_of(method: Method) -> tuple[Stage, ...]:
    """Return the method's stages; one stage in which everybody moves where it names none."""
    return method.stages or (Stage("train", frozenset(method.players()), 1.0),)


def stage_bounds(stages: tuple[Stage, ...], steps: int) -> list[tuple[Stage, int, int]]:
    """Return each stage with its first step and the step after its last; they cover all steps.

    Each has one step at least.

    Raises:
        ConfigurationError: E_STEPS, there are fewer steps than stages.
    """
    if steps < len(stages):
        names = ", ".join(stage.name for stage in stages)
        message = f"train.steps is {steps}, and the method has {len(stages)} stages: {names}"
        raise ConfigurationError(
            Problem("E_STEPS", message, f"set train.steps to {len(stages)} or more")
        )
    total = sum(stage.fraction for stage in stages)
    bounds = []
    done, start = 0.0, 0
    for later, stage in zip(range(len(stages) - 1, -1, -1), stages, strict=True):
        done += stage.fraction
        stop = min(max(round(steps * done / total), start + 1), steps - later)
        bounds.append((stage, start, stop))
        start = stop
    return bounds


def clock_at(bounds: list[tuple[Stage, int, int]], step: int, steps: int) -> tuple[Clock, Stage]:
    """Return the clock, and the stage, of one step."""
    stage, start, stop = next(entry for entry in bounds if step < entry[2])
    progress = (step - start) / max(1, stop - start)
    return Clock(step, stage.name, progress, step / steps), stage


def learning_rate_factor(progress: float, decay_from: float) -> float:
    """Return 1 until `decay_from` of the stage, then a straight line to 0 at its end (pix2pix)."""
    if progress <= decay_from or decay_from >= 1.0:
        return 1.0
    return (1.0 - progress) / (1.0 - decay_from)
