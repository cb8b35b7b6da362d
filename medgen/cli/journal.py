"""The log that `--log FILE` asks for: one JSON object per line, for machines.

A line is `{"time": ..., "level": ..., "event": ..., "fields": {...}}`. Fields name cases and
columns, never paths: a hospital's paths contain patients' names, and logs are mailed around.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from medgen.problems import ConfigurationError, Problem


class Journal:
    """Append events to a JSON-lines file, or drop them where no file was asked for."""

    def __init__(self) -> None:
        self._stream: TextIO | None = None

    def open(self, path: Path) -> None:
        """Append to `path` from now on.

        Raises:
            ConfigurationError: E_LOG, where the file cannot be opened for appending.
        """
        self.close()
        try:
            self._stream = path.open("a", encoding="utf-8")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            problem = Problem(
                "E_LOG", f"the log file cannot be written: {reason}", "give --log another FILE"
            )
            raise ConfigurationError(problem) from None

    def write(self, event: str, fields: Mapping[str, object], *, level: str = "info") -> None:
        """Append one event; it is on its way to the disk when this returns."""
        if self._stream is None:
            return
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": level,
            "event": event,
            "fields": {name: _plain(value) for name, value in fields.items()},
        }
        self._stream.write(json.dumps(line) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Stop appending."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class JournalHandler(logging.Handler):
    """Pass the library's own log records (logger `medgen`) to a journal."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.INFO)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Append one record, with the mapping given as `extra={"fields": {...}}`."""
        fields = getattr(record, "fields", {})
        self._journal.write(record.getMessage(), fields, level=record.levelname.lower())


def _plain(value: object) -> object:
    """Return a value that JSON has; anything else, paths among them, by its type's name only."""
    if isinstance(value, float) and value - value != 0:
        return str(value)  # JSON has neither NaN nor infinity
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return type(value).__name__
