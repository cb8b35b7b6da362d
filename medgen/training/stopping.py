"""Stopping when asked to: what SIGINT and SIGTERM mean to a training."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from medgen.training.distributed import ALONE, Ranks


class Stopped(Exception):
    """A stop was asked for during a validation."""


class Stop:
    """Whether a stop was asked for: of this process, or of any."""

    def __init__(self, ranks: Ranks = ALONE) -> None:
        self._ranks = ranks
        self._asked = threading.Event()

    def ask(self) -> None:
        """Ask for it."""
        self._asked.set()

    def check(self) -> None:
        """Raise Stopped where this process was asked."""
        if self._asked.is_set():
            raise Stopped

    def agreed(self) -> bool:
        """Tell whether any process was asked; all of them must call it at the same place."""
        return self._ranks.any(self._asked.is_set())


@contextlib.contextmanager
def stop_requested(ranks: Ranks = ALONE) -> Iterator[Stop]:
    """Yield a stop that SIGINT or SIGTERM asks for; handlers are put back at the end."""
    stop = Stop(ranks)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        stop.ask()

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
