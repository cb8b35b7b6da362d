"""A connection to a Ray cluster, or to one of this machine alone that lives as long as it does."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from medgen.cohort.interruption import SIGNALS
from medgen.problems import ConfigurationError, Problem

STORE_BYTES = 80 * 2**20
"""Shared memory of a cluster of one machine, near to the least that Ray takes: volumes never lie
there, since workers read and write files."""
LONGEST_FOLDER = 40
"""Letters of a folder in which the names of Ray's sockets stay below the system's 107."""


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Yield the module `ray`, connected to a cluster; without an address, to one made for this.

    That one has no dashboard, sends no statistics of its use, listens on the loopback only (where
    Ray was not imported before) and leaves no file. A connection that the program has already is
    used, and kept.

    Raises:
        ConfigurationError: E_RAY_MISSING without the extra `ray`; E_RAY_ADDRESS where no cluster
            answers.
    """
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(cast("IO[str]", _WithoutRay(sys.stdout))))
        with _kept_signals():
            ray = _ray() if address is not None else _ray_of_this_machine()
            if not ray.is_initialized():
                # Called back in reverse: the folder goes after the cluster.
                options = {"address": address} if address is not None else _alone(stack)
                stack.callback(ray.shutdown)
                _join(ray, options)
        yield ray


class _WithoutRay:
    """The standard output, but for what Ray's own threads print there of workers that died."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, as a stream does."""
        if threading.current_thread().name.startswith("ray_"):
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _join(ray: Any, options: dict[str, Any]) -> None:
    try:
        ray.init(**options, log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError, ValueError, TimeoutError):
        message = "no Ray cluster answers at the address that was given"
        if options["address"] == "local":
            message = "Ray could not be started on this machine"
        advice = "`ray status` on a machine of a cluster tells whether it runs"
        raise ConfigurationError(Problem("E_RAY_ADDRESS", message, advice)) from None


def _alone(stack: ExitStack) -> dict[str, Any]:
    """Return how Ray is started on this machine alone, in a folder that `stack` removes."""
    parent = tempfile.gettempdir()
    short = len(parent) + len("/ray-12345678") <= LONGEST_FOLDER
    folder = tempfile.mkdtemp(prefix="ray-", dir=parent if short else "/tmp")
    stack.callback(partial(shutil.rmtree, folder, ignore_errors=True))
    return {
        "address": "local",
        "include_dashboard": False,
        "object_store_memory": STORE_BYTES,
        "_temp_dir": str(Path(folder).resolve()),
    }


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        message = "--executor ray needs Ray, which is not installed"
        advice = "pip install 'medgen[ray]'"
        raise ConfigurationError(Problem("E_RAY_MISSING", message, advice)) from None
    return ray


def _ray_of_this_machine() -> Any:
    """Import Ray so that what it starts can be reached by this process' children only.

    It reads these variables once, as it is imported.
    """
    if "ray" not in sys.modules:
        # Whoever reaches a cluster's ports can run code. Ray's own token would stay in the home
        # folder.
        if "RAY_AUTH_MODE" not in os.environ:
            os.environ["RAY_AUTH_MODE"] = "token"
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        # As on systems that Ray makes no clusters of, all of it is on the loopback.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    return _ray()


@contextmanager
def _kept_signals() -> Iterator[None]:
    """Undo that Ray takes SIGTERM, which here means to stop after the cases in hand."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
