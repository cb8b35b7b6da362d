"""How far a conversion is, and how long its phases took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager

Progress = Callable[[int, int], None]
"""Called with the windows done and their number; may raise to stop."""


def share_of(progress: Progress | None, stages_before: int, stages: int) -> Progress | None:
    """Return what shows the windows of some stages of a chain as a share of all that are known."""
    if progress is None:
        return None
    first, last = (0, stages + 1) if stages_before == 0 else (stages_before, stages_before + 1)
    return lambda done, total: progress(first * total + stages * done, last * total)


@contextmanager
def timed(seconds: MutableMapping[str, float], phase: str) -> Iterator[None]:
    """Write down the seconds that the block takes, under a phase's name."""
    start = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - start
