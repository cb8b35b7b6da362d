"""Prepared cases on the disk: memory maps, so that RAM does not grow with the cohort.

An entry is keyed by the content of its files and by everything that decides its arrays. It is
made under a temporary name and renamed when whole; one that fails its checksums is made again.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from medgen.data.entries import CachedCase, read_entry, write_entry
from medgen.data.prepared import PreparedCase
from medgen.data.preprocessing import KEYS, Preprocessing
from medgen.data.rows import Row
from medgen.files import TEMPORARY_PREFIX, sha256_of_json
from medgen.problems import ConfigurationError, MedgenError, Problem, Refusal
from medgen.volumes import Volume, digest_of

CACHE_VERSION = 8
"""Raised whenever the same files and settings would give other arrays, or something beside them."""

ABANDONED_SECONDS = 86400.0

Opener = Callable[[Path], Volume]


class Cache:
    """A folder of prepared cases; it holds patients' pictures and belongs to no run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _remove_abandoned(folder)

    def case(
        self,
        row: Row,
        preprocessing: Preprocessing,
        open_cell: Opener,
        *,
        keys: frozenset[str] = KEYS,
    ) -> CachedCase:
        """Return a case from the cache, preparing it first where it is new, changed or damaged.

        Of `keys`, those are prepared for which the row has any cell; the others are absent.

        Raises:
            Refusal: the case cannot be used; every problem names the case and the column.
            ConfigurationError: E_CACHE where the cache folder cannot be written.
        """
        columns = [column for column in preprocessing.columns(keys) if column in row.cells]
        folder = self.folder / self._key(row, columns, preprocessing, keys & KEYS)
        jitter = preprocessing.jitter, preprocessing.target_jitter
        try:
            cached = read_entry(folder, row.case, *jitter)
            if cached is None:
                volumes = open_cells(row, columns, open_cell)
                self._store(folder, preprocessing.prepare_case(volumes, keys=keys))
                cached = read_entry(folder, row.case, *jitter)
        except OSError as error:
            message = f"the cache cannot be used: {error.strerror or type(error).__name__}"
            raise ConfigurationError(
                Problem("E_CACHE", message, "choose another --cache")
            ) from None
        except MedgenError as error:
            raise error.at(case=row.case) from None
        if cached is None:
            raise RuntimeError("a cache entry is damaged right after it was written")
        return cached

    def _key(
        self, row: Row, columns: list[str], preprocessing: Preprocessing, keys: frozenset[str]
    ) -> str:
        """Return the name of an entry: a hash of contents and settings, never of names or paths."""
        try:
            files = {column: digest_of(row.cells[column]) for column in columns}
        except OSError as error:
            message = f"a file cannot be read: {error.strerror or type(error).__name__}"
            raise Refusal(Problem("E_UNREADABLE", message, "check it", row.case)) from None
        found = {
            "version": CACHE_VERSION,
            "files": files,
            "settings": preprocessing.as_json(),
            "keys": sorted(keys),
        }
        return sha256_of_json(found)[:40]

    def _store(self, folder: Path, prepared: PreparedCase) -> None:
        """Write an entry under a temporary name, then rename it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        temporary.mkdir()
        try:
            write_entry(temporary, prepared)
            shutil.rmtree(folder, ignore_errors=True)
            # Another process may have made the same entry meanwhile: then theirs stays.
            with suppress(FileExistsError):
                os.replace(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    """Delete what a killed process left half-made; a day is longer than any case takes."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)


def open_cells(row: Row, columns: Sequence[str], open_cell: Opener) -> dict[str, Volume]:
    """Open every cell of a case, or refuse it with the problems of all of them."""
    volumes: dict[str, Volume] = {}
    problems: list[Problem] = []
    for column in columns:
        try:
            volumes[column] = open_cell(row.cells[column])
        except MedgenError as error:
            problems += error.at(column=column).problems
    if problems:
        raise Refusal(problems)
    return volumes
