"""What is given up, step by step, where memory does not do: batches, windows, the device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from medgen.conversion.tiling import round_up

Window = tuple[int, int, int]


@dataclass(frozen=True)
class Effort:
    """How windows are answered."""

    device: torch.device
    batch: int
    window: Window
    """Voxels that one window answers."""


@dataclass(frozen=True)
class Bounds:
    """How far windows can be made smaller."""

    divisor: int
    least: int
    """The shortest axis that the method takes."""
    fixed: bool
    """Whether there is but one size."""


def lowered(effort: Effort, bounds: Bounds) -> tuple[Effort, str] | None:
    """Return the next smaller effort, and what is given up; None where there is none.

    The batch is halved, then the window along its longest axis, and at last the processor takes
    the device's place.
    """
    if effort.batch > 1:
        batch = effort.batch // 2
        return replace(effort, batch=batch), f"{batch} windows at once, not {effort.batch}"
    window = None if bounds.fixed else _halved(effort.window, bounds)
    if window is not None:
        said = f"windows of {_sized(window)} voxels, not {_sized(effort.window)}"
        return replace(effort, window=window), said
    if effort.device.type != "cpu":
        device = torch.device("cpu")
        return replace(effort, device=device), f"answered on the CPU, not on {effort.device.type}"
    return None


def within(
    effort: Effort, bounds: Bounds, *, needed: Callable[[Effort], float], most_bytes: float
) -> tuple[Effort, tuple[str, ...]]:
    """Return the largest effort that takes no more than some bytes, and what is given up for it.

    Where the smallest window takes more, it is tried all the same: estimates are on the safe side.
    """
    said: list[str] = []
    while needed(effort) > most_bytes:
        step = lowered(effort, bounds)
        if step is None or step[0].device != effort.device:
            break
        effort = step[0]
        said.append(step[1])
    return effort, tuple(said)


def _halved(window: Window, bounds: Bounds) -> Window | None:
    """Return a window with its longest axis halved, where the method takes that."""
    least = round_up(bounds.least, bounds.divisor)
    for axis in sorted(range(3), key=lambda each: -window[each]):
        half = max(least, round_up(math.ceil(window[axis] / 2), bounds.divisor))
        if half < window[axis]:
            sizes = list(window)
            sizes[axis] = half
            return sizes[0], sizes[1], sizes[2]
    return None


def _sized(window: Sequence[int]) -> str:
    return " x ".join(map(str, window))
