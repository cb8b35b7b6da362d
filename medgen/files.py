"""Files and folders that are whole or absent: replacement, hashes, a lock against two writers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, TextIO

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


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; on success sync it and give it that name.

    A folder (or file) that had the name is moved aside, and deleted once the new one stands: a kill
    between the two leaves `path` absent, never half old and half new. On failure the temporary
    folder is removed and `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, aside = (
        path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(4)}-{path.name}") for _ in range(2)
    )
    temporary.mkdir()
    try:
        yield temporary
        for parent, _, names in os.walk(temporary, topdown=False):
            for name in names:
                _sync(Path(parent, name))
            _sync(Path(parent))
        if os.path.lexists(path):
            os.replace(path, aside)
        try:
            os.replace(temporary, path)
        except BaseException:
            if os.path.lexists(aside):
                os.replace(aside, path)
            raise
        _sync(path.parent)
    finally:
        _remove(temporary)
    _remove(aside)


def remove_whole(path: Path) -> None:
    """Delete a file or a folder, if it is there, so that a kill never leaves a part of a folder.

    It first gets the name of a leftover, which `remove_leftovers` understands.
    """
    if os.path.lexists(path):
        aside = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(4)}-{path.name}")
        os.replace(path, aside)
        _remove(aside)


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
    """Delete the temporary files and folders that a killed process left; return their number.

    Only what `replacing` and `replacing_folder` name so is deleted: what other programs made stays.
    `of` limits it to the temporaries of these names, for a folder that others write to as well.
    """
    removed = 0
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        match = _TEMPORARY.fullmatch(path.name)
        if match and (of is None or match[1] in of):
            _remove(path)
            removed += 1
    return removed


@contextlib.contextmanager
def locked(
    folder: Path, name: str = ".lock", *, shared: bool = False, wait: bool = False
) -> Iterator[TextIO]:
    """Hold a folder for one writer; a second one is refused with E_LOCKED.

    The operating system drops the lock when its holder dies, so a kill leaves no stale lock.

    Args:
        folder: what to hold; made where it is not there.
        name: the file in it that stands for what is held.
        shared: whether others that share may hold it too.
        wait: wait for the others to end instead of being refused.

    Yields:
        the lock's file, in which its holder may leave a note.

    Raises:
        ConfigurationError: E_LOCKED.
        OSError: the folder cannot be written, or its file system has no locks.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    with (folder / name).open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, kind)
        except BlockingIOError:
            problem = Problem(
                "E_LOCKED",
                "another medgen process is writing to this folder",
                "wait for it to end, or choose another folder",
            )
            raise ConfigurationError(problem) from None
        yield stream


def _remove(path: Path) -> None:
    """Delete a file, a link (never what it points to), or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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
