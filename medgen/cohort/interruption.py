"""Ctrl-C and SIGTERM as a wish to stop soon, noticed where stopping leaves nothing half done."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Note the first signal while the block runs; the second one raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.signalled = False
        self._stopped = False
        self._previous: dict[signal.Signals, Any] = {}

    @property
    def wanted(self) -> bool:
        """Tell whether no other case shall be begun."""
        return self.signalled or self._stopped

    def stop(self) -> None:
        """Ask for an end as a signal would, without being one."""
        self._stopped = True

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signalled:
            raise KeyboardInterrupt
        self.signalled = True
