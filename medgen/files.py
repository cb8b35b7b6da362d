"""Files that are whole or absent: atomic replacement, hashes, and a lock against two writers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from medgen.problems import ConfigurationError, Problem

TEMPORARY_PREFIX = ".tmp-"
_TEMPORARY = re.compile(re.escape(TEMPORARY_PREFIX) + "[0-9a-f]{8}-(.+)")


def sha256_of_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_json(value: Any) -> str:
    """Return the hexadecimal SHA-256 of a JSON value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it over `path`.

    The temporary name keeps every suffix of `path`, so that writers which choose a format by
    extension do the same. On failure the temporary file is removed and `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically; NaN and infinity are refused, since JSON has neither."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def remove_leftovers(folder: Path, *, of: Container[str] | None = None) -> int:
    """Delete the temporary files that a killed process left in a folder; return their number.

    Only what `replacing` names so is deleted: files of other programs and folders stay. `of` limits
    it to the temporaries of files of these names, for a folder that others write to as well.
    """
    removed = 0
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        match = _TEMPORARY.fullmatch(path.name)
        if match and (of is None or match[1] in of) and path.is_file():
            path.unlink(missing_ok=True)
            removed += 1
    return removed


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for one writer; a second one is refused with E_LOCKED.

    The operating system drops the lock when its holder dies, so a kill leaves no stale lock.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            problem = Problem(
                "E_LOCKED",
                "another medgen process is writing to this folder",
                "wait for it to end, or choose another folder",
            )
            raise ConfigurationError(problem) from None
        yield


def _sync(path: Path) -> None:
    """Force a file's (or a folder's) bytes to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def writable() -> Iterator[None]:
    """Turn the system's refusal to write into one that names the option."""
    try:
        yield
    except OSError as error:
        message = f"the output folder cannot be written: {error.strerror or 'unknown reason'}"
        problem = Problem("E_OUTPUT_UNWRITABLE", message, "check --output and its disk")
        raise ConfigurationError(problem) from None
