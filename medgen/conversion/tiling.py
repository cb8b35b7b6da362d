"""Where windows lie over a whole volume, or over the box of what is to be answered of it.

Per axis, every window has one size and starts on a multiple of the method's phase (most often its
divisor), counted from where the first begins; starts are spread evenly.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from medgen.problems import ConfigurationError, Problem


@dataclass(frozen=True)
class Axis:
    """The windows along one axis, in voxels of the padded output."""

    length: int
    """Voxels of the volume."""
    before: int
    """Voxels of padding in front of the volume, the margin not counted; negative where the windows
    begin inside of it."""
    size: int
    """Voxels that one window answers."""
    starts: tuple[int, ...]
    rim: int = 0
    """Voxels next to the edges that a window has inside the volume whose answers count for nothing:
    the neighbouring window has seen all that they depend on. Every overlap is twice that at least.
    """

    @property
    def padded(self) -> int:
        """Return the padded length, which the windows cover exactly."""
        return self.starts[-1] + self.size

    @property
    def answered(self) -> slice:
        """Return the voxels of the volume that lie in windows."""
        return slice(max(0, -self.before), min(self.length, self.padded - self.before))

    @property
    def inner(self) -> slice:
        """Return the same voxels, counted from where the first window begins."""
        span = self.answered
        return slice(span.start + self.before, span.stop + self.before)


@dataclass(frozen=True)
class Tiling:
    """The windows over a volume."""

    axes: tuple[Axis, Axis, Axis]
    margin: int

    @property
    def window(self) -> tuple[int, int, int]:
        """Return the voxels that one window answers."""
        x, y, z = self.axes
        return x.size, y.size, z.size

    @property
    def answered(self) -> tuple[slice, ...]:
        """Return the box of the volume that lies in windows."""
        return tuple(axis.answered for axis in self.axes)

    @property
    def inner(self) -> tuple[slice, ...]:
        """Return the same box in the padded output."""
        return tuple(axis.inner for axis in self.axes)

    def __len__(self) -> int:
        return math.prod(len(axis.starts) for axis in self.axes)

    def positions(self) -> Iterator[tuple[int, ...]]:
        """Yield per window its index along each axis."""
        return itertools.product(*(range(len(axis.starts)) for axis in self.axes))

    def slices(self, position: Sequence[int], *, margin: int = 0) -> tuple[slice, ...]:
        """Return the slices of a window in the padded output; with the margin, in the input."""
        starts = [axis.starts[index] for axis, index in zip(self.axes, position, strict=True)]
        spans = zip(starts, self.window, strict=True)
        return tuple(slice(start, start + size + 2 * margin) for start, size in spans)


def plan_tiling(
    shape: Sequence[int],
    *,
    patch: Sequence[int],
    window: Literal["auto"] | Sequence[int] = "auto",
    overlap: int = 16,
    margin: int = 0,
    divisor: int = 1,
    phase: int | None = None,
    fixed: Sequence[int] | None = None,
    box: Sequence[slice] | None = None,
    rim: int = 0,
) -> Tiling:
    """Place windows over a volume of `shape` voxels, or over a `box` of it.

    `auto` takes the training `patch` as the window, also where the volume is smaller and has to
    be padded: instance norms measure their statistics on the window, and windows of other sizes
    cost accuracy (half as long again 201 against 175 HU on eight heads; half as long 183 against
    161 HU on a slab). Sizes are rounded up to multiples of `divisor`, starts are multiples of
    `phase`, of the divisor where left out. `fixed` is the method's own input size, margins
    included, and allows no other. The overlap is at most half a window. Windows that are longer
    than the box reach into the rest of the volume before they reach beyond it. Of a net whose
    answers depend on a window's edges only within `rim` voxels of them, these are left out where
    windows overlap by enough.

    Raises:
        ConfigurationError: E_WINDOW where the window asked for is not one that the method takes.
    """
    if fixed is not None:
        sizes = _fixed_sizes(fixed, window, margin, divisor)
    else:
        sizes = [round_up(size, divisor) for size in (patch if window == "auto" else window)]
    spans = box or [slice(0, length) for length in shape]
    axes = [
        place(length, span, size, overlap=overlap, phase=phase or divisor, rim=rim)
        for length, span, size in zip(shape, spans, sizes, strict=True)
    ]
    return Tiling(axes=(axes[0], axes[1], axes[2]), margin=margin)


def _fixed_sizes(
    fixed: Sequence[int], window: Literal["auto"] | Sequence[int], margin: int, divisor: int
) -> list[int]:
    sizes = [size - 2 * margin for size in fixed]
    if any(size <= 0 or size % divisor for size in sizes):
        raise _window_problem(
            f"the method's window {tuple(fixed)} leaves {tuple(sizes)} voxels, "
            f"which is no multiple of its divisor {divisor}"
        )
    if window != "auto" and list(window) != sizes:
        raise _window_problem(
            f"the method answers windows of {tuple(sizes)} voxels only, not {tuple(window)}"
        )
    return sizes


def _window_problem(message: str) -> ConfigurationError:
    return ConfigurationError(Problem("E_WINDOW", message, "leave convert.window at auto"))


def place(length: int, span: slice, size: int, *, overlap: int, phase: int, rim: int = 0) -> Axis:
    """Spread windows of one size evenly over a span, with at least the overlap."""
    wanted = span.stop - span.start
    padded = size + round_up(max(0, wanted - size), phase)
    room = (padded - size) // phase
    stride = max(1, (size - min(overlap, size // 2)) // phase)
    steps = math.ceil(room / stride)
    starts = tuple(phase * (room * step // steps) for step in range(steps + 1)) if steps else (0,)
    if padded <= length:
        first = min(max(0, span.start - (padded - wanted) // 2), length - padded)
    else:
        first = -((padded - length) // 2)
    overlaps = [before + size - after for before, after in itertools.pairwise(starts)]
    spared = rim if overlaps and min(overlaps) >= 2 * rim else 0
    return Axis(length=length, before=-first, size=size, starts=starts, rim=spared)


def round_up(size: int, divisor: int) -> int:
    """Return the least multiple of a divisor that is no less."""
    return -(-size // divisor) * divisor
